//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

const (
	siteRoutes  = 8
	siteMagnets = 20 // of the torrents, as people have some that nobody seeds any more

	flatName = "A.Folder.of.Files"
	treeName = "A.Tree.of.Files"
)

// siteLibrary is what the site is measured with.
type siteLibrary struct {
	live       *source  // of which somebody has the data
	flat, tree string   // infohashes of those of many files: in one folder, and in folders of folders
	others     []string // infohashes of some that nobody has
}

// siteRoute is the name of a route; the first one is that of all suites.
func siteRoute(i int) string {
	if i == 0 {
		return shoalRoute
	}
	return fmt.Sprintf("route-%d", i)
}

func siteRouteNames() string {
	names := make([]string, siteRoutes)
	for i := range names {
		names[i] = siteRoute(i)
	}
	return strings.Join(names, ",")
}

// makeSite fills a library: torrents in several routes, the two large ones, some magnets, and the one that somebody has.
func (b *bench) makeSite(dir string, live *source) (*siteLibrary, error) {
	l := &siteLibrary{live: live}
	err := b.prepare(dir, func() error {
		if _, err := upload(live.content); err != nil {
			return err
		}
		for _, large := range []struct {
			name     string
			path     func(i int) []string
			infohash *string
		}{
			{flatName, func(i int) []string { return []string{entryName(i)} }, &l.flat},
			{treeName, func(i int) []string {
				return []string{fmt.Sprintf("Season %02d", i/1000), fmt.Sprintf("Disc %d", i/100%10), entryName(i)}
			}, &l.tree},
		} {
			torrent, infohash, err := folderOfFiles(large.name, b.Files, large.path)
			if err != nil {
				return err
			}
			if _, err := upload(torrent); err != nil {
				return fmt.Errorf("add %s: %w", large.name, err)
			}
			*large.infohash = infohash
		}
		return b.fillSite(l)
	}, "SHOAL_ROUTES="+siteRouteNames())
	if err != nil {
		return nil, err
	}
	return l, age(filepath.Join(dir, "data", "torrents"))
}

var addedNow = regexp.MustCompile(`"added": ?"[^"]*"`)

// age makes torrents old, as those of a large library are: the pages say how many seconds ago a new one was added.
func age(records string) error {
	list, err := filepath.Glob(filepath.Join(records, "*.json"))
	for _, path := range list {
		var b []byte
		if b, err = os.ReadFile(path); err == nil {
			err = os.WriteFile(path, addedNow.ReplaceAll(b, []byte(`"added": "2026-01-02T03:04:05Z"`)), 0o644)
		}
		if err != nil {
			break
		}
	}
	return err
}

// fillSite adds those that nobody has.
func (b *bench) fillSite(l *siteLibrary) error {
	r := rand.NewChaCha8([32]byte{6})
	for i := range b.Torrents - 3 {
		if i < siteMagnets {
			body := fmt.Sprintf(`{"route": %q, "magnet": %q}`, siteRoute(i%siteRoutes), siteMagnet(i))
			if _, err := callShoal(http.MethodPost, "/api/v1/torrents", "application/json", strings.NewReader(body), http.StatusCreated); err != nil {
				return err
			}
			continue
		}
		torrent, err := deadTorrent(i, r)
		if err != nil {
			return err
		}
		if len(l.others) < 100 {
			meta, err := metainfo.Load(bytes.NewReader(torrent))
			if err != nil {
				return err
			}
			l.others = append(l.others, meta.HashInfoBytes().HexString())
		}
		if _, err := uploadTo(siteRoute(i%siteRoutes), torrent); err != nil {
			return fmt.Errorf("add torrent %d: %w", i, err)
		}
	}
	return nil
}

// siteMagnet is a link to a torrent that nobody has.
func siteMagnet(i int) string {
	return fmt.Sprintf("magnet:?xt=urn:btih:%040x&dn=A.Film.That.Is.Not.There.%05d.1080p.WEB.x264&tr=http%%3A%%2F%%2Ftracker.invalid%%2Fannounce", i+1, i)
}

// folderOfFiles makes a torrent of many files of 1 MiB, which nobody has.
func folderOfFiles(name string, files int, path func(i int) []string) (torrent []byte, infohash string, err error) {
	const size, length = 1 << 20, 4 << 20
	info := metainfo.Info{Name: name, PieceLength: length, Files: make([]metainfo.FileInfo, files)}
	for i := range info.Files {
		info.Files[i] = metainfo.FileInfo{Length: size, Path: path(i)}
	}
	info.Pieces = make([]byte, (files*size+length-1)/length*metainfo.HashSize)
	_, _ = rand.NewChaCha8([32]byte{name[2]}).Read(info.Pieces) // has no error
	encoded, err := bencode.Marshal(info)
	if err != nil {
		return nil, "", err
	}
	meta := metainfo.MetaInfo{InfoBytes: encoded}
	torrent, err = bencode.Marshal(meta)
	return torrent, meta.HashInfoBytes().HexString(), err
}
