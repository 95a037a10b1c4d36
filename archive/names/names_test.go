package names

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func build(t testing.TB, entries []Entry, o Options) *Tree {
	t.Helper()
	tree, err := Build(len(entries), func(i int) Entry { return entries[i] }, o)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// paths returns where each entry is, or why it is nowhere.
func paths(tree *Tree, n int) []string {
	var all []string
	for i := range n {
		node, reason := tree.Place(i)
		if reason != Kept {
			all = append(all, "! "+reason.String())
			continue
		}
		p := tree.Path(node)
		if tree.Node(node).Kind == Dir {
			p += "/"
		}
		all = append(all, p)
	}
	return all
}

func TestBuild(t *testing.T) {
	long := strings.Repeat("x", 255)
	deep := strings.Repeat("d/", 31)
	wide := strings.Repeat(strings.Repeat("w", 127)+"/", 8) // 1,024 bytes with the slash at its end
	tests := map[string]struct{ entries, want []string }{
		"plain":              {[]string{"a", "b/c", "b/"}, []string{"a", "b/c", "b/"}},
		"dots":               {[]string{"./a", "b/./c", "d/.", "."}, []string{"a", "b/c", "d/", "/"}},
		"slashes":            {[]string{"/a", "//b//c", "d//", "/"}, []string{"a", "b/c", "d/", "/"}},
		"parent":             {[]string{"../../etc/passwd", "a/..", "a/../b", "..", "..a"}, []string{"!..", "!..", "!..", "!..", "..a"}},
		"empty":              {[]string{""}, []string{"!empty"}},
		"NUL":                {[]string{"a\x00b", "a\x00/b"}, []string{"!NUL", "!NUL"}},
		"backslash of Unix":  {[]string{`a\b`}, []string{"a_b"}},
		"backslash of DOS":   {[]string{`\\a\b`, `\\c\`, `\\..\d`, `\C:\e`, `\c:f`, `\1:\g`}, []string{"a/b", "c/", "!..", "e", "c:f", "1:/g"}},
		"control characters": {[]string{"a\nb\x7f\u0085", "\x1b[31m"}, []string{"a_b__", "_[31m"}},
		"direction":          {[]string{"a\u202egpj.exe", "b\u2066", "c\u200e"}, []string{"a_gpj.exe", "b_", "c\u200e"}},
		"double":             {[]string{"a.txt", "a.txt", "a.txt", "a (1).txt"}, []string{"a.txt", "a (1).txt", "a (2).txt", "a (1) (1).txt"}},
		"double taken":       {[]string{"a (1).txt", "a.txt", "a.txt"}, []string{"a (1).txt", "a.txt", "a (2).txt"}},
		"double cleaned":     {[]string{"x\x01", "x\x02"}, []string{"x_", "x_ (1)"}},
		"double hidden":      {[]string{".rc", ".rc"}, []string{".rc", ".rc (1)"}},
		"double sentence":    {[]string{"Mrs. Smith went home", "Mrs. Smith went home"}, []string{"Mrs. Smith went home", "Mrs. Smith went home (1)"}},
		"double folder":      {[]string{"a/", "a/", "a/b"}, []string{"a/", "a/", "a/b"}},
		"file then folder":   {[]string{"a", "a/"}, []string{"a (1)", "a/"}},
		"file then path":     {[]string{"a", "a/b"}, []string{"a (1)", "a/b"}},
		"folder then file":   {[]string{"a/b", "a"}, []string{"a/b", "a (1)"}},
		"folders in folder":  {[]string{"a/b/c", "a/b"}, []string{"a/b/c", "a/b (1)"}},
		"name of 255":        {[]string{long, long, long + "x"}, []string{long, long[:246] + " (1)", "!name"}},
		"32 names":           {[]string{deep + "f", deep + "d/", deep + "d/f", deep + "d/d/d/"}, []string{deep + "f", deep + "d/", "!deep", "!deep"}},
		"path of 1024":       {[]string{wide[:1023], wide + "e", wide[:1023] + "f"}, []string{wide[:1023], "!path", wide[:1023] + "f"}},
	}
	short := map[string]Reason{"..": HasParent, "empty": Empty, "NUL": HasNUL, "name": LongName, "deep": Deep, "path": LongPath}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var entries []Entry
			for _, n := range test.entries {
				dos := strings.HasPrefix(n, `\`)
				entries = append(entries, Entry{Name: strings.TrimPrefix(n, `\`), Backslash: dos})
			}
			dropped := map[Reason]int{}
			for i, want := range test.want {
				if reason, ok := short[strings.TrimPrefix(want, "!")]; ok && want[0] == '!' {
					test.want[i] = "! " + reason.String()
					dropped[reason]++
				}
			}
			tree := build(t, entries, Options{})
			if got := paths(tree, len(entries)); !slices.Equal(got, test.want) {
				t.Errorf("%q\nbecame %q\nwanted %q", test.entries, got, test.want)
			}
			if !maps.Equal(tree.Dropped(), dropped) {
				t.Errorf("dropped %v, wanted %v", tree.Dropped(), dropped)
			}
			check(t, tree)
		})
	}
}

// characters are those that names of strangers may have, and what becomes of them. The tests of torrents and of archive/names have the same
// table, as neither may import the other: change both.
var characters = []struct{ raw, want string }{
	{"a/b\\c", "a_b_c"},
	{"\x01\n\t\x1b\x7f", "_____"},
	{"\u0080\u0085\u009f", "___"}, // C1 controls
	{"a\u202egpj.exe", "a_gpj.exe"},
	{"\u202a\u202b\u202c\u202d\u2066\u2067\u2068\u2069", "________"},
	{"\u200e\u200f\u061c", "\u200e\u200f\u061c"},         // marks
	{"\u200b\u200d\ufeff", "\u200b\u200d\ufeff"},         // of no width
	{"\u00a0\u2028\u2029", "\u00a0\u2028\u2029"},         // kinds of space
	{"e\u0301\u00e9", "e\u0301\u00e9"},                   // decomposed, composed
	{"a\xffb\xfe\xfdc", "a\ufffdb\ufffdc"},               // a run of bytes is one
	{"\xed\xa0\x80\xc0\xaf", "\ufffd"},                   // a surrogate, a slash that is too long
	{"\xf4\x90\x80\x80.txt", "\ufffd.txt"},               // above U+10FFFF
	{"\ufffd\ufdd0\U0010ffff", "\ufffd\ufdd0\U0010ffff"}, // no characters, and valid
	{"日本語 🐟", "日本語 🐟"},
}

func TestCharacters(t *testing.T) {
	for _, test := range characters {
		if got := cleanName(test.raw); got != test.want {
			t.Errorf("cleanName(%q) = %q, want %q", test.raw, got, test.want)
		}
	}
}

// TestKinds has what isn't told by names alone.
func TestKinds(t *testing.T) {
	entries := []Entry{
		{Name: "dir", Kind: Dir},
		{Name: "dir/link", Kind: Symlink},
		{Name: "dir/link/below"}, // a link keeps nothing from being a folder
		{Name: "dev/null", Kind: Special},
		{Name: "dir", Kind: Dir},
	}
	tree := build(t, entries, Options{})
	want := []string{"dir/", "dir/link (1)", "dir/link/below", "! " + NoFile.String(), "dir/"}
	if got := paths(tree, len(entries)); !slices.Equal(got, want) {
		t.Errorf("%q, wanted %q", got, want)
	}
	node, ok := tree.Lookup(0, "dir")
	if !ok || tree.Node(node).Entry != 0 {
		t.Errorf("folder dir is entry %d, found %t; wanted the first", tree.Node(node).Entry, ok)
	}
	if _, ok := tree.Lookup(0, "dev"); ok {
		t.Error("there is a folder for what was dropped")
	}
	if link, _ := tree.Place(1); tree.Node(link).Kind != Symlink {
		t.Errorf("the link is of kind %d", tree.Node(link).Kind)
	}
}

// TestFolders has paths that would make many more folders than there are entries.
func TestFolders(t *testing.T) {
	var entries []Entry
	for i := range 100 {
		entries = append(entries, Entry{Name: fmt.Sprintf("%d/a/b/c/file", i)})
	}
	tree := build(t, entries, Options{MaxFolders: 41})
	if got := tree.Dropped()[Crowded]; got != 90 {
		t.Errorf("%d dropped of 100 that need 4 folders each where 41 may be, wanted 90", got)
	}
	check(t, tree)
}

// TestRepeated has 100,000 files of names that only differ in what is cut off, or not at all: numbering them must not try each number again.
func TestRepeated(t *testing.T) {
	long := strings.Repeat("x", 249)
	entries := make([]Entry, 100_000)
	for i := range entries {
		entries[i].Name = "same"
		if i%2 == 0 {
			entries[i].Name = fmt.Sprintf("%s%06d", long, i/4)
		}
	}
	tree := build(t, entries, Options{})
	if tree.Len() != 1+len(entries) {
		t.Errorf("%d nodes of %d entries", tree.Len(), len(entries))
	}
	check(t, tree)
}

// check finds what is wrong in any tree.
func check(t testing.TB, tree *Tree) {
	t.Helper()
	seen := make(map[place]bool)
	for i := 1; i < tree.Len(); i++ {
		n := tree.Node(i)
		at := place{n.Parent, n.Name}
		switch {
		case seen[at]:
			t.Fatalf("two nodes are %q in folder %d", n.Name, n.Parent)
		case int(n.Parent) >= i || tree.Node(int(n.Parent)).Kind != Dir:
			t.Fatalf("%q is in node %d, which is no folder before it", n.Name, n.Parent)
		case n.Name == "" || n.Name == "." || n.Name == ".." || len(n.Name) > 255 || !utf8.ValidString(n.Name):
			t.Fatalf("%q is no name", n.Name)
		case strings.ContainsFunc(n.Name, func(r rune) bool { return r == '/' || r == '\\' || unicode.IsControl(r) }):
			t.Fatalf("%q has a character that it must not have", n.Name)
		}
		seen[at] = true
		if got, ok := tree.Lookup(int(n.Parent), n.Name); !ok || got != i {
			t.Fatalf("looking %q up finds %d, %t, not %d", n.Name, got, ok, i)
		}
		if n.Entry != NoEntry {
			if got, reason := tree.Place(int(n.Entry)); reason != Kept || got != i {
				t.Fatalf("entry %d is at %d, not %d", n.Entry, got, i)
			}
		}
	}
	children := 0
	for i := range tree.Len() {
		children += len(tree.Children(i))
	}
	if children != tree.Len()-1 {
		t.Fatalf("%d children of %d nodes", children, tree.Len())
	}
}

// TestRebuild builds trees again, with entries added behind: nothing that was there gets another name or place.
func TestRebuild(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "a (1)", "a.b", "..", ".", "", "\x80", "\xe9"}
	for range 200 {
		var entries []Entry
		for range 1 + random.IntN(30) {
			var names []string
			for range 1 + random.IntN(4) {
				names = append(names, parts[random.IntN(len(parts))])
			}
			entries = append(entries, Entry{Name: strings.Join(names, "/")})
		}
		tree := build(t, entries, Options{})
		check(t, tree)
		if a, b := paths(tree, len(entries)), paths(build(t, entries, Options{}), len(entries)); !slices.Equal(a, b) {
			t.Fatalf("%v became %q, and then %q", entries, a, b)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add("a/b\na\nb\\c\n\x82\xb1\n../d", uint8(0), "")
	f.Add("\x93\xfa\x96\x7b\\\nlong", uint8(3), "Shift_JIS")
	f.Fuzz(func(t *testing.T, all string, flags uint8, charset string) {
		var entries []Entry
		for name := range strings.SplitSeq(all, "\n") {
			entries = append(entries, Entry{
				Name: name, UTF8: flags&1 != 0, Backslash: flags&2 != 0, Kind: Kind(flags >> 2 & 3),
			})
		}
		at := func(i int) Entry { return entries[i] }
		tree, err := Build(len(entries), at, Options{Charset: charset})
		if err != nil {
			return
		}
		check(t, tree)
		for node := range tree.Len() {
			target, err := tree.Target(node, []byte(all))
			if err != nil {
				continue
			}
			below := target
			for strings.HasPrefix(below, "../") {
				below = below[len("../"):]
			}
			if target == "" || target[0] == '/' || below != ".." && slices.Contains(strings.Split(below, "/"), "..") {
				t.Fatalf("target %q of %q", target, all)
			}
		}
	})
}

// TestFirst: every node tells by which entry it came.
func TestFirst(t *testing.T) {
	entries := []Entry{{Name: "a/b/c"}, {Name: "a/d/"}, {Name: "x"}, {Name: "a/b/e"}, {Name: "../x"}, {Name: "a/", Kind: Dir}, {Name: "f/g"}}
	tree, err := Build(len(entries), func(i int) Entry { return entries[i] }, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int32{"a": 0, "a/b": 0, "a/b/c": 0, "a/d": 1, "x": 2, "a/b/e": 3, "f": 6, "f/g": 6}
	for node := 1; node < tree.Len(); node++ {
		if first, ok := want[tree.Path(node)]; !ok || tree.Node(node).First != first {
			t.Errorf("%q came by entry %d, want %d", tree.Path(node), tree.Node(node).First, first)
		}
	}
	if tree.Len() != len(want)+1 {
		t.Errorf("there are %d nodes, want %d", tree.Len()-1, len(want))
	}
}
