package torrents

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCleanText(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 10, ""},
		{"unregistered torrent", 20, "unregistered torrent"},
		{"unregistered torrent", 19, "unregistered tor…"},
		{" a\r\n\t b\x00\x1b[31m ", 20, "a b [31m"},
		{"gr\xffün", 20, "gr\uFFFDün"},
		{"größe", 7, "größe"},
		{"größer", 7, "grö…"},
		{"\u202eabc\u2066", 10, "abc"}, // what would turn the text round
		{"aaaa", 3, "…"},
	} {
		if got := cleanText(test.text, test.limit); got != test.want {
			t.Errorf("cleanText(%q, %d) is %q, want %q", test.text, test.limit, got, test.want)
		}
	}
}

func FuzzCleanText(f *testing.F) {
	f.Add("tracker \xff says\n", 8)
	f.Add(strings.Repeat("\u202e", 100), 3)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(len(ellipsis), limit%1000)
		got := cleanText(text, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("cleanText(%q, %d) is %q", text, limit, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("cleanText(%q, %d) is %q, which has what cannot be printed", text, limit, got)
		}
		if again := cleanText(got, limit); again != got {
			t.Errorf("cleanText(%q, %d) is %q the second time", got, limit, again)
		}
	})
}
