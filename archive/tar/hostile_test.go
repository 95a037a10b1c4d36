package tar

import (
	stdtar "archive/tar"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// rawHeader is a header without a checksum; signHeaders adds it.
func rawHeader(name string, kind byte, size int) []byte {
	var b block
	copy(b[:], name)
	copy(b[124:], fmt.Sprintf("%011o", size))
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	return b[:]
}

// rawBlocks is data with its padding.
func rawBlocks(s string) []byte {
	return append([]byte(s), make([]byte, (blockSize-len(s)%blockSize)%blockSize)...)
}

// extended is an extended header with records as they are.
func extended(records string) []byte {
	return slices.Concat(rawHeader("pax", typePAX, len(records)), rawBlocks(records))
}

func record(s string) string {
	n := len(s) + 3
	for n != len(fmt.Sprint(n))+len(s)+2 {
		n++
	}
	return fmt.Sprintf("%d %s\n", n, s)
}

// TestDamage puts something wrong between two members.
func TestDamage(t *testing.T) {
	sparse := record("GNU.sparse.major=1") + record("GNU.sparse.minor=0") + record("GNU.sparse.realsize=100")
	sparse01 := func(m string) []byte {
		return slices.Concat(extended(record("GNU.sparse.size=100")+record("GNU.sparse.numblocks=2")+record("GNU.sparse.map="+m)),
			rawHeader("s", typeFile, 20), rawBlocks(strings.Repeat("x", 20)))
	}
	old := rawHeader("s", typeGNUSparse, 20)
	copy(old[257:], "ustar  \x00")
	copy(old[483:], "00000000144")
	old[482] = 1
	negative := rawHeader("n", typeFile, 0)
	copy(negative[124:136], bytes.Repeat([]byte{0xff}, 12))
	ones := bytes.Repeat([]byte("1"), blockSize)
	emptyMap := append(make([]byte, sparseMoreBlocks), 1, 0, 0, 0, 0, 0, 0, 0)
	tests := map[string]struct {
		bad     []byte
		sparse  int  // members dropped
		ends    bool // the walk
		members int  // besides those around
	}{
		"record longer than all":   {extended("99 path=a\n"), 0, true, 0},
		"record without a length":  {extended("path=a\n"), 0, true, 0},
		"record without a keyword": {extended("5 =a\n"), 0, true, 0},
		"record of 2 bytes":        {extended("2 path=a\n"), 0, true, 0},
		"negative pax size":        {extended(record("size=-1")), 0, true, 0},
		"pax size too large":       {extended(record("size=9999999")), 0, true, 0},
		"extended header too long": {rawHeader("x", typePAX, maxSpecial+1), 0, true, 0},
		"negative size":            {negative, 0, true, 0},
		"map":                      {sparse01("10,10,50,10"), 0, false, 1},
		"map overlaps":             {sparse01("10,10,19,10"), 1, false, 0},
		"map goes back":            {sparse01("50,10,10,10"), 1, false, 0},
		"map beyond the end":       {sparse01("10,10,91,10"), 1, false, 0},
		"map of too much":          {sparse01("10,10,50,11"), 1, false, 0},
		"map of too little":        {sparse01("10,10,50,9"), 1, false, 0},
		"map has other count":      {sparse01("10,10"), 1, false, 0},
		"map without numbers":      {sparse01("10,10,a,b"), 1, false, 0},
		"map of 4 billion":         {slices.Concat(extended(sparse), rawHeader("s", typeFile, 512), rawBlocks("4294967295\n")), 1, false, 0},
		"map without an end":       {slices.Concat(extended(sparse), rawHeader("s", typeFile, 512), rawBlocks("2\n0\n")), 1, false, 0},
		"map of an endless line":   {slices.Concat(extended(sparse), rawHeader("s", typeFile, 512), ones), 1, false, 0},
		"old map of empty blocks":  {slices.Concat(old, emptyMap, make([]byte, 512)), 0, true, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := slices.Concat(rawHeader("before", typeFile, 0), tt.bad, rawHeader("after", typeFile, 0))
			signHeaders(b)
			x, err := walk(t, b, Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := 2 + tt.members
			if tt.ends {
				want = 1
			}
			if len(x.Members) != want || (x.Damage != "") != tt.ends || x.Dropped.Sparse != tt.sparse {
				t.Errorf("%+v", x)
			}
		})
	}
}

// TestHeaders reads what only some programs write.
func TestHeaders(t *testing.T) {
	signed := rawHeader("\xe4\xf6\xfc", typeFile, 0)
	sum := 0
	copy(signed[148:156], "        ")
	for _, c := range signed {
		sum += int(int8(c))
	}
	copy(signed[148:156], fmt.Sprintf("%06o\x00 ", sum))
	if x := mustWalk(t, signed, Options{}); len(x.Members) != 1 || x.Members[0].Name != "\xe4\xf6\xfc" {
		t.Errorf("signed checksum: %+v", x)
	}
	when := time.Unix(-5, 7)
	b := newArchive(t).add(stdtar.Header{Name: "dir/", Typeflag: stdtar.TypeDir, ModTime: when, Format: stdtar.FormatPAX}, "").
		add(stdtar.Header{Name: "l", Typeflag: stdtar.TypeLink, Linkname: "dir"}, "").bytes()
	x := mustWalk(t, b, Options{})
	if !x.Members[0].ModTime.Equal(when) {
		t.Errorf("modified %v, want %v", x.Members[0].ModTime, when)
	}
	if m := &x.Members[1]; m.Target != -1 || m.Size != 0 {
		t.Errorf("a link to a folder: %+v", m)
	}
}

// TestSavedContradictions signs indexes that no walk makes.
func TestSavedContradictions(t *testing.T) {
	file := Member{Name: "a", Type: File, Size: 10, Extents: []Extent{{0, 10}}, Target: -1}
	tests := map[string][]Member{
		"link to itself":      {file, {Name: "b", Type: HardLink, Size: 10, Target: 1}},
		"link forward":        {{Name: "b", Type: HardLink, Size: 10, Target: 1}, file},
		"link of other size":  {file, {Name: "b", Type: HardLink, Size: 9, Target: 0}},
		"file with a target":  {file, {Name: "b", Type: File, Size: 10, Target: 0}},
		"beyond the archive":  {{Name: "a", Type: File, Size: 10, Extents: []Extent{{95, 10}}, Target: -1}},
		"starts beyond":       {{Name: "a", Type: File, Size: 10, Extents: []Extent{{101, 10}}, Target: -1}},
		"fewer bytes":         {{Name: "a", Type: File, Size: 10, Extents: []Extent{{0, 9}}, Target: -1}},
		"more bytes":          {{Name: "a", Type: File, Size: 10, Extents: []Extent{{0, 9}, {20, 2}}, Target: -1}},
		"no type":             {{Name: "a", Target: -1}},
		"no such type":        {{Name: "a", Type: HardLink + 1, Target: -1}},
		"folder with content": {{Name: "a", Type: Dir, Extents: []Extent{{0, 1}}, Target: -1}},
	}
	for name, members := range tests {
		x := &Index{ArchiveSize: 100, Members: members}
		if _, err := ParseIndex(x.Append(nil), 100); !errors.Is(err, ErrSaved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	x := &Index{ArchiveSize: 100, Members: []Member{file, {Name: "b", Type: HardLink, Size: 10, Target: 0}}}
	if _, err := ParseIndex(x.Append(nil), 100); err != nil {
		t.Error(err)
	}
}
