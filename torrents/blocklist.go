package torrents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/anacrolix/torrent/iplist"

	"shoal/torrents/blocklist"
	"shoal/torrents/outbound"
)

const (
	// blockedFileEvery is how often it is looked whether the file has changed.
	blockedFileEvery = time.Minute
	// blockedURLEvery is how often the list is fetched, blockedURLRetry how soon again after a failure.
	blockedURLEvery = 24 * time.Hour
	blockedURLRetry = time.Hour
	// maxBlocklist is the longest list that is fetched, in bytes, compressed or not.
	maxBlocklist = 32 << 20
	// savedBlocklist begins the names of fetched lists in Options.DataDir.
	savedBlocklist = "blocklist-"
)

// CheckBlocklist says what is wrong with a path or URL of a blocklist, without looking there. The error is
// an *InputError.
func CheckBlocklist(source string) error {
	if _, isURL := blocklistURL(source); !isURL && strings.Contains(source, "://") {
		return inputErrorf("the blocklist has to be a path, or a URL that begins with http:// or https://")
	}
	return nil
}

func blocklistURL(source string) (*url.URL, bool) {
	u, err := url.Parse(source)
	return u, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// blocked is the blocklist in use: the addresses that no peer and no node of the DHT may have. Connections
// that there are when it changes stay until they end.
type blocked struct {
	path string           // of the file, or of the copy of what was fetched
	url  *url.URL         // nil if the list is a file
	web  *outbound.Client // fetches it
	log  *slog.Logger

	list atomic.Pointer[blocklist.List]
	next time.Duration // how soon to read it again after it was opened
	seen fileVersion   // the file as it was read last; used by one goroutine at a time
}

type fileVersion struct {
	changed time.Time
	size    int64
}

// openBlocked reads the list. One that is fetched is saved in dir, so that a server which is away does not
// keep Shoal from starting again. The error is ErrBlocklist.
func openBlocked(ctx context.Context, source, dir string, web *outbound.Client, log *slog.Logger) (*blocked, error) {
	b := &blocked{path: source, web: web, log: log, next: blockedFileEvery}
	var err error
	if u, isURL := blocklistURL(source); isURL {
		b.url = u
		sum := sha256.Sum256([]byte(source))
		b.path = filepath.Join(dir, savedBlocklist+hex.EncodeToString(sum[:8]))
		err = b.openSaved(ctx, dir)
	} else {
		err = b.readFile()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBlocklist, err)
	}
	return b, nil
}

// openSaved reads what was fetched before, or fetches the list.
func (b *blocked) openSaved(ctx context.Context, dir string) error {
	if err := b.forgetOthers(dir); err != nil {
		return err
	}
	err := b.readFile()
	if err == nil {
		b.next = 0 // it may be old
		return nil
	}
	b.next = blockedURLEvery
	if !errors.Is(err, fs.ErrNotExist) {
		b.log.Warn("the saved blocklist cannot be read; it is fetched again", "err", err)
	}
	return b.fetch(ctx)
}

// forgetOthers removes what was fetched from other URLs.
func (b *blocked) forgetOthers(dir string) error {
	saved, err := filepath.Glob(filepath.Join(dir, savedBlocklist+"*"))
	for _, path := range saved {
		if path != b.path {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// readFile reads the list from the disk.
func (b *blocked) readFile() error {
	f, err := os.Open(b.path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	b.seen = fileVersion{st.ModTime(), st.Size()}
	return b.read(f, b.path)
}

// read makes what r has the list, if it is one.
func (b *blocked) read(r io.Reader, from string) error {
	list, err := blocklist.Parse(r)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	b.list.Store(list)
	b.log.Info("the blocklist is in use", "from", from, "ranges", list.Len(), "lines_skipped", list.Skipped())
	return nil
}

// fetch reads the list from its server, and saves it.
func (b *blocked) fetch(ctx context.Context) error {
	var body bytes.Buffer
	if _, err := b.web.Get(ctx, b.url, maxBlocklist, &body); err != nil {
		return fmt.Errorf("fetch it from %s: %w", b.url.Host, err)
	}
	if err := b.read(bytes.NewReader(body.Bytes()), b.url.Host); err != nil {
		return err
	}
	return writeDurably(b.path, body.Bytes())
}

// follow keeps the list up to date until ctx ends.
func (b *blocked) follow(ctx context.Context) {
	for pause := b.next; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = b.update(ctx)
	}
}

// update reads the list again if it may have changed, and returns how soon to do so next. The list stays
// as it is if that fails.
func (b *blocked) update(ctx context.Context) time.Duration {
	next := blockedFileEvery
	var err error
	if b.url != nil {
		next = blockedURLEvery
		if err = b.fetch(ctx); err != nil {
			next = blockedURLRetry
		}
	} else {
		err = b.updateFile()
	}
	if err != nil && ctx.Err() == nil {
		b.log.Warn("the blocklist cannot be read again; the one before stays in use", "err", err)
	}
	return next
}

// updateFile reads the file if it has changed since it was last looked at, so that trouble is told once.
func (b *blocked) updateFile() error {
	st, err := os.Stat(b.path)
	if err != nil {
		gone := b.seen == fileVersion{}
		b.seen = fileVersion{}
		if gone {
			return nil
		}
		return err
	}
	if b.seen == (fileVersion{st.ModTime(), st.Size()}) {
		return nil
	}
	return b.readFile()
}

// Lookup says whether an address is blocked, for the engine, which asks before it connects to a peer, when
// one has connected, and for each datagram of the DHT.
func (b *blocked) Lookup(ip net.IP) (iplist.Range, bool) {
	addr, ok := netip.AddrFromSlice(ip)
	if ok && !b.list.Load().Contains(addr) {
		return iplist.Range{}, false
	}
	return iplist.Range{First: ip, Last: ip, Description: "blocklist"}, true
}

// NumRanges returns how many ranges the list has.
func (b *blocked) NumRanges() int { return b.list.Load().Len() }
