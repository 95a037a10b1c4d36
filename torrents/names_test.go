package torrents

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestCleanName(t *testing.T) {
	long := strings.Repeat("é", 200) + ".mkv"
	tests := []struct{ raw, want string }{
		{"plain.txt", "plain.txt"},
		{"with space, ünïcode 日本語", "with space, ünïcode 日本語"},
		{"", "_"},
		{".", "_"},
		{"..", "__"},
		{"...", "..."},
		{".hidden", ".hidden"},
		{"/etc/passwd", "_etc_passwd"},
		{`..\..\windows`, ".._.._windows"},
		{"nul\x00byte", "nul_byte"},
		{"new\nline\ttab\x7f\u0085", "new_line_tab__"},
		{"not \xff\xfe utf-8", "not \uFFFD utf-8"},
		{strings.Repeat("a", 255), strings.Repeat("a", 255)},
		{long, strings.Repeat("é", 121) + "~f08b7ae1.mkv"},
	}
	for _, test := range tests {
		if got := cleanName(test.raw); got != test.want {
			t.Errorf("cleanName(%q) = %q, want %q", test.raw, got, test.want)
		}
	}
	if a, b := cleanName(long), cleanName("é"+long); a == b {
		t.Error("two long names become the same")
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
	if got, want := possibleName("\u202egpj.exe\n"), "\u202egpj.exe_"; got != want {
		t.Errorf("a user's name becomes %q, want %q", got, want)
	}
}

func TestFolderPaths(t *testing.T) {
	tests := []struct {
		what string
		raw  [][]string
		want []string
	}{
		{"the same twice", [][]string{{"a.txt"}, {"a.txt"}, {"a.txt"}}, []string{"a.txt", "a (2).txt", "a (3).txt"}},
		{"numbers taken", [][]string{{"a (2)"}, {"a"}, {"a"}}, []string{"a (2)", "a", "a (3)"}},
		{"case is kept", [][]string{{"A"}, {"a"}}, []string{"A", "a"}},
		{"a file where a folder is", [][]string{{"x", "y"}, {"x"}}, []string{"x/y", "x (2)"}},
		{"a folder where a file is", [][]string{{"x"}, {"x", "y"}, {"x", "z"}}, []string{"x", "x (2)/y", "x (2)/z"}},
		{"climbing", [][]string{{"..", "..", "etc"}, {"__", "etc"}}, []string{"__/__/etc", "__ (2)/etc"}},
		{"empty parts", [][]string{{"", "", "a"}, {}, {""}}, []string{"_/_/a", "_ (2)", "_ (3)"}},
	}
	for _, test := range tests {
		var top folder
		for i, raw := range test.raw {
			if got := strings.Join(top.path(raw), "/"); got != test.want[i] {
				t.Errorf("%s: %q becomes %q, want %q", test.what, raw, got, test.want[i])
			}
		}
	}
}

// TestManyDoubles has names made to be slow: doubles that differ only in what is cut off.
func TestManyDoubles(t *testing.T) {
	start := time.Now()
	var top folder
	seen := make(map[string]bool)
	for i := range 30_000 {
		name := strings.Repeat("x", 249) + fmt.Sprintf("%06d", i)
		for range 2 {
			clean := top.path([]string{name})[0]
			if seen[clean] {
				t.Fatalf("%q twice", clean)
			}
			seen[clean] = true
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("60,000 names took %v", took)
	}
}

func TestTorrentName(t *testing.T) {
	ih := Infohash{0xab, 0xcd, 0xef, 0x12}
	tests := []struct {
		name   string
		isFile bool
		taken  []string
		want   string
	}{
		{"film.mkv", true, nil, "film.mkv"},
		{"film.mkv", true, []string{"film.mkv"}, "film [abcdef12].mkv"},
		{"film.mkv", false, []string{"film.mkv"}, "film.mkv [abcdef12]"},
		{"film", true, []string{"film"}, "film [abcdef12]"},
		{"film", false, []string{"film", "film [abcdef12]"}, "film [abcdef1200000000000000000000000000000000]"},
		{strings.Repeat("n", 255), false, []string{strings.Repeat("n", 255)}, strings.Repeat("n", 244) + " [abcdef12]"},
	}
	for _, test := range tests {
		taken := func(name string) bool { return slices.Contains(test.taken, name) }
		if got := torrentName(test.name, ih, test.isFile, taken); got != test.want {
			t.Errorf("torrentName(%q, file %v) = %q, want %q", test.name, test.isFile, got, test.want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"", ".", "..", "/", "a/../b", "\\", "\x00", strings.Repeat("日", 100) + ".x", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		clean := cleanName(raw)
		if !shownSafely(clean) {
			t.Errorf("cleanName(%q) = %q", raw, clean)
		}
		if again := cleanName(clean); again != clean {
			t.Errorf("cleanName(%q) = %q, and of that %q", raw, clean, again)
		}
	})
}

// shownSafely is what every clean name has to be.
func shownSafely(name string) bool {
	return name != "." && fs.ValidPath(name) && !strings.ContainsAny(name, "/\\\x00\n") &&
		len(name) <= 255 && utf8.ValidString(name) && !strings.ContainsFunc(name, turnsDirection)
}
