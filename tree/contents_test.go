package tree

import (
	"strings"
	"testing"
)

// TestContentsName finds names for folders beside archives.
func TestContentsName(t *testing.T) {
	long := strings.Repeat("ä", 127)
	fits := strings.Repeat("x", MaxName-len(contentsSuffix))
	for name, want := range map[string]string{
		"x.zip":    "x.zip.contents (1)",
		"y.zip":    "y.zip.contents",
		fits:       fits + ".contents",
		long:       strings.Repeat("ä", 114) + ".contents ~808af9c4e582aa26",
		"y" + fits: "y" + fits[:227] + ".contents ~770f7fd08230ab16",
	} {
		got := contentsName(name, func(s string) bool { return s == "x.zip.contents" })
		if got != want || CheckName(got) != nil {
			t.Errorf("beside %q it is called %q, want %q", name, got, want)
		}
	}
}

// TestContentsNamesDiffer has archives with names that differ only where those of their folders have to be cut off: in a folder, in an archive,
// and in a route.
func TestContentsNamesDiffer(t *testing.T) {
	long := strings.Repeat("第", 83) // 249 bytes
	one, two := long+"1.zip", long+"2.zip"
	inside := func() *box { return &box{list: []Member{member(-1, "a", "")}} }
	var nested []Member
	for _, name := range []string{one, two} {
		m := member(-1, name, "")
		m.Archive = inside()
		nested = append(nested, m)
	}
	tr := New(epoch)
	must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: ArchivesBoth}, epoch))
	folder := folderTorrent(hash(1), 2, "t", 10, one+"=a", two+"=b", "x.zip=c")
	files := folder.Files
	folder.Files = func() ([]File, error) {
		list, err := files()
		list[0].Archive, list[1].Archive, list[2].Archive = inside(), inside(), &box{list: nested}
		return list, err
	}
	ids := newNumbers()
	folder.ArchiveIDs, folder.Numbers = 50, ids
	must(t, tr.PutTorrent(folder, epoch))
	for i, name := range []string{one, two} {
		single := fileTorrent(hash(byte(2+i)), 2, name, uint64(30+10*i), "PK")
		single.Archive, single.ArchiveIDs, single.Numbers = inside(), uint64(60+i), ids
		must(t, tr.PutTorrent(single, epoch))
	}
	for _, path := range []string{"r", "r/t", "r/t/x.zip.contents"} {
		n := mustWalk(t, tr, path)
		must(t, n.Load(t.Context()))
		dir, err := n.Dir()
		must(t, err)
		cut := 0
		for _, e := range dir.Entries() {
			if found, ok := dir.Lookup(e.Name); !ok || found != e.Node || e.Node.Name() != e.Name {
				t.Errorf("%s: %q leads to %q", path, e.Name, found.Name())
			}
			if strings.HasPrefix(e.Name, long[:210]) && e.Node.IsDir() {
				cut++
			}
		}
		if cut != 2 {
			t.Errorf("%s has %d folders of archives with long names, want 2", path, cut)
		}
	}
}
