package torrents

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
)

func mustWriteFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestBlocklist: a peer on the list is neither connected to nor let in, until it is no more on the list.
func TestBlocklist(t *testing.T) {
	for _, incoming := range []bool{false, true} {
		t.Run("incoming "+strconv.FormatBool(incoming), func(t *testing.T) {
			s := newSample(t, "file", 16384, map[string][]byte{"": randomBytes(50_000)})
			seeder := startPeer(t, s)
			list := filepath.Join(t.TempDir(), "list")
			mustWriteFile(t, list, "loopback:127.0.0.0-127.255.255.255\n")
			rec := newRecorder()
			opts := testOptions(t, rec, seeder.addr)
			if incoming {
				opts.Swarm.Peers = nil
			}
			opts.Swarm.Blocklist = list
			l := mustOpen(t, opts)
			mustAdd(t, l, "r", s.metainfo)
			files := mustLoad(t, rec.await(t, s.infohash))
			read := func(wait time.Duration) error {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				ended := make(chan struct{})
				defer func() { <-ended }()
				go func() {
					defer close(ended)
					for incoming && ctx.Err() == nil {
						addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(l.swarm.client.LocalPort()))
						seeder.client.Torrents()[0].AddPeers([]torrent.PeerInfo{{Addr: torrent.StringAddr(addr)}})
						time.Sleep(20 * time.Millisecond)
					}
				}()
				_, err := files[0].ReadAt(ctx, make([]byte, 1), 0)
				cancel()
				return err
			}
			if err := read(time.Second); !errors.Is(err, context.DeadlineExceeded) || seeder.uploaded() > 0 {
				t.Errorf("with the peer on the list, reading ends with %v after %d bytes; want nothing", err, seeder.uploaded())
			}
			mustWriteFile(t, list, "other:10.0.0.0-10.255.255.255\n")
			l.blocked.update(t.Context())
			if err := read(30 * time.Second); err != nil {
				t.Errorf("with the peer not on the list: %v", err)
			}
		})
	}
}

// TestBlocklistMissing: Shoal does not start without the protection.
func TestBlocklistMissing(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page")
	mustWriteFile(t, page, "<html>\n<p>no list\n")
	absent := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(absent.Close)
	for source, want := range map[string]string{
		filepath.Join(dir, "absent"): "no such file", page: "no blocklist", dir: "is a directory", absent.URL: "404 Not Found",
	} {
		opts := testOptions(t, newRecorder())
		opts.Swarm.Blocklist, opts.Swarm.AllowPrivate = source, true
		l, err := Open(opts)
		if !errors.Is(err, ErrBlocklist) || !strings.Contains(err.Error(), want) {
			t.Errorf("with the list %s: %v, want ErrBlocklist with %q", source, err, want)
		}
		if err == nil {
			_ = l.Close()
		}
	}
}

func TestBlocklistURL(t *testing.T) {
	var answer atomic.Value
	answer.Store("8.8.8.0/24\n")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := answer.Load().(string)
		if text == "" {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	opts := testOptions(t, newRecorder())
	opts.Swarm.Blocklist = server.URL + "/list?key=1"
	if _, err := Open(opts); !errors.Is(err, ErrBlocklist) || !strings.Contains(err.Error(), "not a public address") {
		t.Errorf("from a private address: %v, want ErrBlocklist that says so", err)
	}
	opts.Swarm.AllowPrivate = true
	blocks := func(l *Library, ip string) bool {
		_, yes := l.blocked.Lookup(net.ParseIP(ip))
		return yes
	}
	l := mustOpen(t, opts)
	if !blocks(l, "8.8.8.8") || blocks(l, "9.9.9.9") || blocks(l, "2001::1") || l.blocked.NumRanges() != 1 {
		t.Error("the fetched list is not in use")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// The server is away: what was fetched before is used, and stays when the server comes back with
	// nonsense.
	answer.Store("")
	opts.Watcher = newRecorder()
	l = mustOpen(t, opts)
	if !blocks(l, "8.8.8.8") {
		t.Error("the saved list is not in use")
	}
	if next := l.blocked.update(t.Context()); next != blockedURLRetry || !blocks(l, "8.8.8.8") {
		t.Errorf("after a failure it is tried again in %v, want %v with the same list", next, blockedURLRetry)
	}
	answer.Store("<html>\n")
	if next := l.blocked.update(t.Context()); next != blockedURLRetry || !blocks(l, "8.8.8.8") {
		t.Errorf("after nonsense it is tried again in %v, want %v with the same list", next, blockedURLRetry)
	}
	answer.Store("9.9.9.9\n")
	if next := l.blocked.update(t.Context()); next != blockedURLEvery || blocks(l, "8.8.8.8") || !blocks(l, "9.9.9.9") {
		t.Errorf("the next list is not in use, or renewed in %v", next)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A damaged copy is fetched again; that of another URL is not used, and not kept.
	saved, err := filepath.Glob(filepath.Join(opts.DataDir, savedBlocklist+"*"))
	if err != nil || len(saved) != 1 {
		t.Fatalf("saved are %q, %v; want one", saved, err)
	}
	mustWriteFile(t, saved[0], "\xff")
	opts.Watcher = newRecorder()
	l = mustOpen(t, opts)
	if !blocks(l, "9.9.9.9") {
		t.Error("the list that was fetched again is not in use")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	answer.Store("")
	opts.Swarm.Blocklist = server.URL + "/other"
	if _, err := Open(opts); !errors.Is(err, ErrBlocklist) {
		t.Errorf("another URL whose server is away: %v, want ErrBlocklist", err)
	}
	if left, _ := filepath.Glob(filepath.Join(opts.DataDir, savedBlocklist+"*")); len(left) > 0 {
		t.Errorf("%q is left of another URL", left)
	}
}

// TestBlocklistFile: the list in use changes with the file, and with nothing less.
func TestBlocklistFile(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	mustWriteFile(t, list, "8.8.8.8\n")
	opts := testOptions(t, newRecorder())
	opts.Swarm.Blocklist = list
	var said heard
	opts.Logger = said.logger()
	l := mustOpen(t, opts)
	steps := []struct {
		what     string
		do       func() error
		blocks   string
		warnings int // so far
	}{
		{"nothing", func() error { return nil }, "8.8.8.8", 0},
		{"another list", func() error { return os.WriteFile(list, []byte("8.8.4.0/24\n"), 0o644) }, "8.8.4.4", 0},
		{"nonsense", func() error { return os.WriteFile(list, []byte("<html>"), 0o644) }, "8.8.4.4", 1},
		{"nonsense still", func() error { return nil }, "8.8.4.4", 1},
		{"gone", func() error { return os.Remove(list) }, "8.8.4.4", 2},
		{"gone still", func() error { return nil }, "8.8.4.4", 2},
		{"back", func() error { return os.WriteFile(list, []byte("1.1.1.1\n"), 0o644) }, "1.1.1.1", 2},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		l.blocked.update(t.Context())
		if _, yes := l.blocked.Lookup(net.ParseIP(step.blocks)); !yes || l.blocked.NumRanges() != 1 {
			t.Errorf("%s: %s is not on the list", step.what, step.blocks)
		}
		if n := said.count("cannot be read again"); n != step.warnings {
			t.Errorf("%s: %d warnings so far, want %d", step.what, n, step.warnings)
		}
	}
}

func TestCheckBlocklist(t *testing.T) {
	for source, good := range map[string]bool{
		"": true, "/srv/list": true, "list.gz": true, "./a b": true, "http://h/list": true, "https://h:8/list?x": true,
		"ftp://h/list": false, "http://": false, "file:///srv/list": false, "http://%zz/": false,
	} {
		err := CheckBlocklist(source)
		if _, bad := errors.AsType[*InputError](err); (err == nil) != good || err != nil && !bad {
			t.Errorf("CheckBlocklist(%q) = %v", source, err)
		}
	}
}
