package torrents

import (
	"fmt"
	"hash/fnv"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest file name in bytes that NFSv3 clients take (POSIX NAME_MAX).
const maxName = 255

// maxDepth is how many folders deep a torrent may be. Real ones stay below 20.
const maxDepth = 100

// cleanName makes a name that any client can show, and that looks like what it is, out of one path element of a metainfo. What it
// changes stays visible:
//
//   - an empty name becomes "_", "." becomes "_" and ".." becomes "__";
//   - slashes, backslashes (separators on Windows) and control characters become "_", as does what turns the direction of writing;
//   - bytes that are not UTF-8, a run of them at a time, become U+FFFD;
//   - a name above 255 bytes loses the end of its stem, and gets "~" and a hash of the whole there.
//
// Different names may become the same; see folder.take. Of characters, package archive/names has the same rule for what is in archives,
// and the two have the same test.
func cleanName(name string) string {
	return possibleName(strings.Map(func(r rune) rune {
		if turnsDirection(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD")))
}

// turnsDirection says whether r shows what follows it in another order (explicit directional formatting, Unicode TR 9), which makes
// "gpj.exe" of a name that ends in ".jpg". The marks U+200E and U+200F turn nothing that is written in one direction, and names in Arabic
// and Hebrew have them.
func turnsDirection(r rune) bool {
	return r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069
}

// possibleName is cleanName but for the direction of writing, which users may turn in the names that they give.
func possibleName(name string) string {
	switch name {
	case "", ".":
		return "_"
	case "..":
		return "__"
	}
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	if len(name) <= maxName {
		return name
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return addSuffix(name, fmt.Sprintf("~%08x", h.Sum32()), true)
}

// addSuffix puts suffix at the end of name, or before its extension if it is that of a file, and
// cuts the name so that the whole stays within maxName.
func addSuffix(name, suffix string, isFile bool) string {
	ext := ""
	if isFile {
		ext = path.Ext(name)
		// What is as long as that, or all there is, is no extension.
		if len(ext) > 16 || ext == name {
			ext = ""
		}
	}
	stem := strings.TrimSuffix(name, ext)
	room := maxName - len(suffix) - len(ext)
	if len(stem) > room {
		stem = stem[:room]
		for !utf8.ValidString(stem) {
			stem = stem[:len(stem)-1]
		}
	}
	return stem + suffix + ext
}

// torrentName returns the name that a torrent gets in a route: its own, or if that is taken the same
// with the first 8 hexadecimal digits of its infohash, or all 40 if even that is taken.
func torrentName(name string, ih Infohash, isFile bool, taken func(string) bool) string {
	hex := ih.String()
	for _, suffix := range []string{"", " [" + hex[:8] + "]", " [" + hex + "]"} {
		candidate := name
		if suffix != "" {
			candidate = addSuffix(name, suffix, isFile)
		}
		if !taken(candidate) {
			return candidate
		}
	}
	// Only a torrent made to look so can get here: its name ends in another torrent's suffix.
	var names folder
	for {
		if candidate := names.take(name, isFile); !taken(candidate) {
			return candidate
		}
	}
}

// folder cleans the names in one folder of a torrent, in the order of the metainfo, so that no two
// get the same. The zero folder is empty.
type folder struct {
	name  string
	sub   map[string]*folder  // by the name in the metainfo
	taken map[string]struct{} // clean names, of files and of folders
	next  map[string]int      // what to number the next double of a name with
}

// path returns the clean names of a file from this folder down.
func (f *folder) path(raw []string) []string {
	if len(raw) == 0 {
		raw = []string{""}
	}
	last := len(raw) - 1
	clean := make([]string, len(raw))
	for i, element := range raw[:last] {
		sub, ok := f.sub[element]
		if !ok {
			if f.sub == nil {
				f.sub = make(map[string]*folder)
			}
			sub = &folder{name: f.take(cleanName(element), false)}
			f.sub[element] = sub
		}
		f = sub
		clean[i] = sub.name
	}
	clean[last] = f.take(cleanName(raw[last]), true)
	return clean
}

// take returns name, or if that is taken, name with the first free suffix " (2)", " (3)"…
func (f *folder) take(name string, isFile bool) string {
	if f.taken == nil {
		f.taken = make(map[string]struct{})
	}
	unique := name
	for {
		if _, ok := f.taken[unique]; !ok {
			f.taken[unique] = struct{}{}
			return unique
		}
		if f.next == nil {
			f.next = make(map[string]int)
		}
		// Counted by what is left of the name beside a suffix: names that are alike but for an end
		// that is cut off share their numbers, so that none is tried twice.
		stem := addSuffix(name, " (000000)", isFile)
		f.next[stem] = max(2, f.next[stem]+1)
		unique = addSuffix(name, fmt.Sprintf(" (%d)", f.next[stem]), isFile)
	}
}

// count returns how many folders are below f.
func (f *folder) count() int {
	n := len(f.sub)
	for _, sub := range f.sub {
		n += sub.count()
	}
	return n
}
