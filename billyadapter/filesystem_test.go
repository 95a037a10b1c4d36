package billyadapter

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"
	"go.uber.org/goleak"

	"shoal/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type text string

func (text) Await(context.Context, int64, int) (func(), error) { return func() {}, nil }

func (s text) Ready(int64, int) bool { return true }

func (s text) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return strings.NewReader(string(s)).ReadAt(p, off)
}

// sample is a file system with one torrent.
func sample(ctx context.Context, t *testing.T) *FS {
	t.Helper()
	tr := tree.New(time.Unix(1_700_000_000, 0))
	err := errors.Join(
		tr.PutRoute(tree.Route{ID: 2, Name: "films"}, time.Time{}),
		tr.PutTorrent(tree.Torrent{
			Infohash: tree.Infohash{1}, Route: 2, Name: "a film", FirstID: 10, ModTime: time.Unix(1_600_000_000, 0),
			Files: func() ([]tree.File, error) {
				return []tree.File{
					{Path: []string{"b.txt"}, Index: 0, Size: 5, Content: text("hello")},
					{Path: []string{"a", "deep"}, Index: 1, Content: text("")},
				}, nil
			},
		}, time.Time{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return New(ctx, tr)
}

func TestRead(t *testing.T) {
	f := sample(t.Context(), t)
	for _, path := range []string{"films/a film/b.txt", "/films/a film/b.txt", f.Join("films", "a film", "b.txt")} {
		file, err := f.Open(path)
		if err != nil {
			t.Errorf("open %q: %v", path, err)
			continue
		}
		all, err := io.ReadAll(file)
		if err != nil || string(all) != "hello" {
			t.Errorf("read %q: %q, %v", path, all, err)
		}
		part := make([]byte, 10)
		if n, err := file.ReadAt(part, 3); n != 2 || !errors.Is(err, io.EOF) || string(part[:n]) != "lo" {
			t.Errorf("read %q at 3: %q, %v; want the last two bytes and io.EOF", path, part[:n], err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReadEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	file, err := sample(ctx, t).Open("films/a film/b.txt")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := file.ReadAt(make([]byte, 1), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("read after the end of the context: %v, want %v", err, context.Canceled)
	}
}

func TestReadDir(t *testing.T) {
	f := sample(t.Context(), t)
	list, err := f.ReadDir("films/a film")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, info := range list {
		names = append(names, info.Name())
		same, err := f.Stat("films/a film/" + info.Name())
		if err != nil || same.Mode() != info.Mode() || same.Size() != info.Size() || same.Sys() != info.Sys() {
			t.Errorf("%s: stat says %+v, %v; the listing says %+v", info.Name(), same, err, info)
		}
	}
	if want := []string{"a", "b.txt"}; !slices.Equal(names, want) {
		t.Errorf("the listing is %q, want %q", names, want)
	}
}

func TestErrors(t *testing.T) {
	f := sample(t.Context(), t)
	_, openMissing := f.Open("films/nothing")
	_, openDir := f.Open("films")
	_, listFile := f.ReadDir("films/a film/b.txt")
	_, statMissing := f.Lstat("nothing")
	for what, test := range map[string]struct{ got, want error }{
		"open what is not there": {openMissing, fs.ErrNotExist},
		"open a folder":          {openDir, tree.ErrIsDir},
		"list a file":            {listFile, tree.ErrNotDir},
		"stat what is not there": {statMissing, fs.ErrNotExist},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: %v, want %v", what, test.got, test.want)
		}
		if _, ok := errors.AsType[*fs.PathError](test.got); !ok {
			t.Errorf("%s: %T, want a *fs.PathError", what, test.got)
		}
	}
}

func TestReadOnly(t *testing.T) {
	f := sample(t.Context(), t)
	const path = "films/a film/b.txt"
	_, create := f.Create("x")
	_, openFile := f.OpenFile(path, os.O_RDWR, 0)
	_, temp := f.TempFile("", "x")
	file, err := f.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, write := file.Write([]byte("x"))
	for what, err := range map[string]error{
		"create": create, "open for writing": openFile, "temp file": temp, "write": write, "truncate": file.Truncate(0),
		"rename": f.Rename(path, "x"), "remove": f.Remove(path), "mkdir": f.MkdirAll("x", 0o755), "symlink": f.Symlink("x", "y"),
	} {
		if !errors.Is(err, billy.ErrReadOnly) {
			t.Errorf("%s: %v, want %v", what, err, billy.ErrReadOnly)
		}
	}
	if billy.CapabilityCheck(f, billy.WriteCapability) {
		t.Error("it says that it can be written")
	}
}
