//go:build linux

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"shoal/test/appliance"
	"shoal/test/seeder"
)

// fetched is an answer of the appliance's site.
type fetched struct {
	status int
	header http.Header
	length int64  // as announced
	sum    string // SHA-256 of the body
}

// read asks the appliance's site.
func read(ctx context.Context, t *testing.T, a *appliance.Appliance, method, path, ranges string) fetched {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", a.HTTPPort, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+appliance.Token)
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body := sha256.New()
	if _, err := io.Copy(body, answer.Body); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return fetched{answer.StatusCode, answer.Header, answer.ContentLength, hex.EncodeToString(body.Sum(nil))}
}

// TestReadOverHTTP reads a torrent from a foreign client over HTTP: a part of it, for which no more than that and a little is fetched, and all.
func TestReadOverHTTP(t *testing.T) {
	t.Parallel()
	seeder.Require(t)
	dir := t.TempDir()
	const size = 32 << 20
	film := "it's 100% größer.mkv"
	sums := seeder.WriteFiles(t, filepath.Join(dir, "a film"), map[string]int{film: size, "page.html": 100})
	torrent := seeder.CreateWith(t, filepath.Join(dir, "a film"), "v1", 256<<10)
	d := seeder.Start(t, dir)
	ih := d.Add(t, torrent)
	d.Eager(t)
	a := appliance.Start(t, "SHOAL_ROUTES=films", "SHOAL_BT_PEERS="+d.Addr())
	a.Upload(t, "films", torrent, 201)
	ctx := deadline(t)

	const folder = "/fs/films/a%20film/"
	path := folder + "it%27s%20100%25%20gr%C3%B6%C3%9Fer.mkv"
	head := read(ctx, t, a, http.MethodHead, path, "")
	if head.status != http.StatusOK || head.length != size || head.header.Get("Content-Type") != "video/x-matroska" {
		t.Errorf("HEAD answers %d with %v", head.status, head.header)
	}
	if sent := d.Uploaded(t, ih); sent != 0 {
		t.Errorf("HEAD made the seeder send %d bytes", sent)
	}
	part := read(ctx, t, a, http.MethodGet, path, fmt.Sprintf("bytes=%d-%d", 16<<20, 18<<20-1))
	if part.status != http.StatusPartialContent || part.sum != partSum(t, filepath.Join(dir, "a film", film), 16<<20, 2<<20) {
		t.Errorf("2 MiB at 16 MiB: %d, %s", part.status, part.sum)
	}
	if sent := d.Uploaded(t, ih); sent < 2<<20 || sent > 10<<20 {
		t.Errorf("reading 2 of 32 MiB made the seeder send %d bytes, want 2 to 10 MiB", sent)
	}
	var list struct {
		Readers []struct{ Protocol, Path string }
	}
	a.Call(t, http.MethodGet, "/readers", nil, http.StatusOK, &list)
	if len(list.Readers) != 1 || list.Readers[0].Protocol != "http" || list.Readers[0].Path != "/films/a film/"+film {
		t.Errorf("the readers are %+v", list.Readers)
	}
	whole := read(ctx, t, a, http.MethodGet, path, "")
	if whole.status != http.StatusOK || whole.sum != sums[film] {
		t.Errorf("all of it: %d, %s, want %s", whole.status, whole.sum, sums[film])
	}
	page := read(ctx, t, a, http.MethodGet, folder+"page.html", "")
	if !strings.HasPrefix(page.header.Get("Content-Disposition"), "attachment") || page.sum != sums["page.html"] {
		t.Errorf("the page: %d with %v", page.status, page.header)
	}
}
