package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/admin/locale"
	"shoal/torrents"
	"shoal/tree"
	"shoal/web"
)

// lockedBox is an archive that peers never send, or that is refused once somebody looks into it.
type lockedBox struct {
	reason  error // nil if it waits for peers
	refused atomic.Bool
}

func (b *lockedBox) Members(ctx context.Context) ([]tree.Member, error) {
	if b.reason != nil {
		b.refused.Store(true)
		return nil, fmt.Errorf("%w: %w", tree.ErrNotArchive, b.reason)
	}
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func (b *lockedBox) Shown() bool { return !b.refused.Load() }

// lockedTree has the archive as box.zip of the torrent "t" in the route films.
func lockedTree(t testing.TB, to *tree.Tree, way tree.Archives, box *lockedBox) {
	t.Helper()
	if err := to.PutRoute(tree.Route{ID: 2, Name: "films", Archives: way}, fsEpoch); err != nil {
		t.Fatal(err)
	}
	err := to.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{0xab}, Route: 2, Name: "t", FirstID: 10, ModTime: fsEpoch, ArchiveIDs: 1_000_000, Numbers: fakeNumbers(2_000_000),
		Files: func() ([]tree.File, error) {
			return []tree.File{{Path: []string{"box.zip"}, Size: 5, Content: text("PK..!"), Archive: box}}, nil
		},
	}, fsEpoch)
	if err != nil {
		t.Fatal(err)
	}
}

// TestFilesPageWaitsForArchive: the first look into an archive waits for peers, but not for ever.
func TestFilesPageWaitsForArchive(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &server{tree: tree.New(fsEpoch), transfers: make(chan struct{}, 1), locales: locales}
		lockedTree(t, s.tree, tree.ArchivesFolder, &lockedBox{})
		begin := time.Now()
		view, err := s.viewFiles(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/files/films/t/box.zip", nil))
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := view.(*treeView); !ok || v.Folder != nil || v.File != nil {
			t.Errorf("an archive that nobody sends is %+v", view)
		}
		if waited := time.Since(begin); waited != lookTime {
			t.Errorf("the page waits for %v, want %v", waited, lookTime)
		}
		if len(s.transfers) != 0 {
			t.Error("the page keeps its place after its end")
		}
	})
}

// TestFilesPageOfWaiting looks at the page itself, with a request that lasts less long than the page would wait.
func TestFilesPageOfWaiting(t *testing.T) {
	s := openSite(t)
	lockedTree(t, s.tree, tree.ArchivesFolder, &lockedBox{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/files/films/t/box.zip/inner", nil)
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Accept", "text/html")
	a := send(t, s.handler, r)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "The archive is still being read", `hx-get="/files/films/t/box.zip/inner"`, `<a href="/files/films/t/box.zip/inner">Look again</a>`)
}

// TestFilesPageOfRefusedArchive: what is none, or is encrypted, is a file that says why it is no folder.
func TestFilesPageOfRefusedArchive(t *testing.T) {
	const reason, shown = "archive is not supported: <b>encrypted</b>", "archive is not supported: &lt;b&gt;encrypted&lt;/b&gt;"
	for _, test := range []struct {
		way    tree.Archives
		path   string
		status int
	}{
		{tree.ArchivesFolder, "/files/films/t/box.zip", http.StatusOK},
		{tree.ArchivesFolder, "/files/films/t/box.zip/inner", http.StatusNotFound},
		{tree.ArchivesBoth, "/files/films/t/box.zip.contents", http.StatusNotFound},
	} {
		s := openSite(t)
		lockedTree(t, s.tree, test.way, &lockedBox{reason: fmt.Errorf("archive is not supported: %s", "<b>encrypted</b>")})
		a := s.browse(t, test.path, nil)
		wantStatus(t, a, test.status)
		wantTexts(t, a, shown)
		if strings.Contains(string(a.body), reason) {
			t.Errorf("%s has the reason as HTML", a.what)
		}
		// From then on it is a file, whose reason those know who keep account of archives.
		s.inside.of = torrents.Infohash{0xab}
		s.inside.list = []Archive{{Place: "0", Path: "box.zip", State: ArchiveRefused, Reason: reason}}
		a = s.browse(t, "/files/films/t/box.zip", nil)
		wantStatus(t, a, http.StatusOK)
		wantTexts(t, a, shown, `href="/fs/films/t/box.zip?download=1"`)
	}
}

// TestFilesPageOfHostileNames: names as torrents, archives and people may have them do nothing on a page but be names.
func TestFilesPageOfHostileNames(t *testing.T) {
	for _, name := range []string{
		"\u202egpj.exe", `a"b'c<d>&amp;`, "javascript:alert(1)", "?play=1#x", "%2e%2e", strings.Repeat("é", 125), "line\nfeed", `back\slash`,
	} {
		s := browseSite(t, textFile(0, name, "x.mp4"), textFile(1, "y", name+".mp4"))
		for _, names := range [][]string{{"films", "t"}, {"films", "t", name}, {"films", "t", name, "x.mp4"}} {
			address := (&server{}).filesAddress(names)
			a := s.browse(t, address, nil)
			wantStatus(t, a, http.StatusOK)
			wantTexts(t, a, strings.ReplaceAll((&server{}).filesAddress([]string{"films", "t", name}), "&", "&amp;"))
			for _, bad := range []string{"<d>", `a"b`, `href="javascript:`, `src="javascript:`} {
				if strings.Contains(string(a.body), bad) {
					t.Errorf("%s has %s", a.what, bad)
				}
			}
		}
	}
}

// TestFilesPageBelow: a site below a path leads to nothing beside it.
func TestFilesPageBelow(t *testing.T) {
	s := browseSite(t, textFile(0, "x.mp4"))
	s.handler = s.at("/shoal")
	for _, path := range []string{"/shoal/files", "/shoal/files/", "/shoal/files/films/t", "/shoal/files/films/t/x.mp4?play=1"} {
		a := s.browse(t, path, nil)
		wantStatus(t, a, http.StatusOK)
		for _, bad := range []string{`="/files`, `="/fs`, `="/torrents`} {
			if strings.Contains(string(a.body), bad) {
				t.Errorf("%s has an address that begins %s", a.what, bad)
			}
		}
	}
}
