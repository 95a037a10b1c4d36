package names

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/text/encoding/japanese"
)

// TestCVE_2017_1000420_Targets: symbolic links of archives led out of what File Browser (CVE-2026-54094, CVE-2026-55668) and others share.
func TestCVE_2017_1000420_Targets(t *testing.T) {
	tree := build(t, append(encode(t, japanese.ShiftJIS, japaneseNames),
		Entry{Name: "top", Kind: Symlink}, Entry{Name: "a/b/link", Kind: Symlink}), Options{})
	top, _ := tree.Lookup(0, "top")
	a, _ := tree.Lookup(0, "a")
	b, _ := tree.Lookup(a, "b")
	deep, ok := tree.Lookup(b, "link")
	if !ok {
		t.Fatal("no link")
	}
	tests := []struct {
		node      int
		raw, want string // "" is an error
	}{
		{top, "file", "file"},
		{top, "./dir//file/", "dir/file"},
		{top, ".", "."},
		{top, "..", ""},
		{top, "../x", ""},
		{top, "dir/../file", ""},
		{top, "", ""},
		{top, "/etc/passwd", ""},
		{top, "a\x00b", ""},
		{top, "a\nb\\c", "a_b_c"}, // as the file it leads to is called
		{top, "\x93\xfa\x96\x7b", "日本"},
		{top, strings.Repeat("x/", 511) + "yz", strings.Repeat("x/", 511) + "yz"},
		{top, strings.Repeat("x/", 511) + "yza", ""},
		{top, strings.Repeat("/.", 4096), ""},
		{deep, "../../x", "../../x"},
		{deep, ".././../x", "../../x"},
		{deep, "../../../x", ""},
		{deep, "../../x/../..", ""},
	}
	for _, test := range tests {
		got, err := tree.Target(test.node, []byte(test.raw))
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%.60q became %.60q, %v; wanted %.60q", test.raw, got, err, test.want)
		}
		if err != nil && !errors.Is(err, ErrTarget) {
			t.Errorf("%.60q: %v is no ErrTarget", test.raw, err)
		}
	}
}
