package torrents

import (
	"bytes"
	"strconv"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

// decodeInfo decodes an info dictionary, which scanBencode has seen, as the engine's decoder does. It reads the list of files itself, as
// that one takes a fifth of a second and 70 MB for 40,000 of them, and leaves to it what is not as it always is.
func decodeInfo(b []byte) (info metainfo.Info, err error) {
	files, rest, ok := cutFiles(b)
	if !ok {
		files, rest = nil, b
	}
	if err = bencode.Unmarshal(rest, &info); err == nil && ok {
		info.Files = files
	}
	return info, err
}

// cutFiles takes the list of files out of an info dictionary, and returns what is left. It is not ok if there is none, or anything is
// unusual.
func cutFiles(b []byte) (files []metainfo.FileInfo, rest []byte, ok bool) {
	r := infoReader{b: b}
	r.dictionary(func(key []byte, at int) {
		if string(key) != "files" {
			r.skip()
			return
		}
		files = make([]metainfo.FileInfo, 0, r.count())
		for r.take('l'); !r.bad && !r.end(); {
			files = append(files, r.file())
		}
		rest = append(append(make([]byte, 0, len(b)-(r.i-at)), b[:at]...), b[r.i:]...)
	})
	return files, rest, !r.bad && r.i == len(b) && len(files) > 0
}

// infoReader reads canonical bencode (BEP 3), without recursion but for skip, which has none.
type infoReader struct {
	b   []byte
	i   int
	bad bool // something is not as expected; nothing is read any more
}

// take takes a byte that has to be c.
func (r *infoReader) take(c byte) {
	if r.bad = r.bad || r.i >= len(r.b) || r.b[r.i] != c; !r.bad {
		r.i++
	}
}

// end takes the end of a list or dictionary, if it is there.
func (r *infoReader) end() bool {
	if r.bad || r.i >= len(r.b) || r.b[r.i] != 'e' {
		return false
	}
	r.i++
	return true
}

// dictionary calls value with each key, which has to take the value, and where the key begins. Keys have to be in order.
func (r *infoReader) dictionary(value func(key []byte, at int)) {
	var last []byte
	for r.take('d'); !r.bad && !r.end(); {
		at := r.i
		key := r.text()
		if last != nil && bytes.Compare(last, key) >= 0 {
			r.bad = true
		}
		if last = key; !r.bad {
			value(key, at)
		}
	}
}

// text takes a string.
func (r *infoReader) text() []byte {
	n := 0
	if !r.bad {
		var err error
		n, err = scanString(r.b[r.i:])
		r.bad = err != nil
	}
	if r.bad {
		return nil
	}
	s := r.b[r.i : r.i+n]
	r.i += n
	head := bytes.IndexByte(s, ':')
	if s[0] == '0' && head > 1 { // of a number with more digits than it needs, let the other decoder think what it will
		r.bad = true
	}
	return s[head+1:]
}

// texts takes a list of strings.
func (r *infoReader) texts() []string {
	var list []string
	for r.take('l'); !r.bad && !r.end(); {
		list = append(list, string(r.text()))
	}
	r.bad = r.bad || list == nil // an empty list is not the same as none
	return list
}

// count returns how many values the list has that comes next, without taking it.
func (r *infoReader) count() (n int) {
	ahead := *r
	for ahead.take('l'); !ahead.bad && !ahead.end(); n++ {
		ahead.skip()
	}
	return n
}

// number takes an integer.
func (r *infoReader) number() int64 {
	r.take('i')
	n := bytes.IndexByte(r.b[min(r.i, len(r.b)):], 'e')
	if r.bad = r.bad || n < 0; r.bad {
		return 0
	}
	digits := string(r.b[r.i : r.i+n])
	v, err := strconv.ParseInt(digits, 10, 64)
	r.bad = err != nil || strconv.FormatInt(v, 10) != digits
	r.i += n + 1
	return v
}

// skip takes any value.
func (r *infoReader) skip() {
	for depth := 0; !r.bad; {
		switch {
		case r.i >= len(r.b):
			r.bad = true
		case r.b[r.i] == 'd' || r.b[r.i] == 'l':
			depth++
			r.i++
		case r.b[r.i] == 'e':
			depth--
			r.i++
		case r.b[r.i] == 'i':
			r.number()
		default:
			r.text()
		}
		if depth <= 0 {
			return
		}
	}
}

// file takes a file of the list.
func (r *infoReader) file() (f metainfo.FileInfo) {
	r.dictionary(func(key []byte, _ int) {
		switch string(key) {
		case "length":
			f.Length = r.number()
		case "path":
			f.Path = r.texts()
		case "path.utf-8":
			f.PathUtf8 = r.texts()
		case "attr":
			f.Attr = string(r.text())
		case "sha1":
			f.Sha1 = string(r.text())
		case "symlink path":
			f.SymlinkPath = r.texts()
		default:
			r.skip()
		}
	})
	return f
}
