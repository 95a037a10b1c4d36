package torrents

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/hex"
	"path"
	"strings"
)

// PreviewKind is what somebody gave to be added.
type PreviewKind string

// What can be added.
const (
	PreviewMagnet   PreviewKind = "magnet"
	PreviewInfohash PreviewKind = "infohash"
	PreviewURL      PreviewKind = "url"
	PreviewTorrent  PreviewKind = "torrent" // a .torrent file
)

// maxPreviewFiles is how many files a preview names.
const maxPreviewFiles = 100

// Preview is what something would add to the library.
type Preview struct {
	Infohash   Infohash
	Name       string        // clean; empty if a link has none
	Resolved   bool          // the metadata is known, and with it what follows up to Private
	Size       int64         // in bytes
	Files      int           // how many there are
	FirstFiles []PreviewFile // 100 of them at most
	Private    bool
	Trackers   int
	Known      *Torrent // the torrent, if the library has it; else nil
}

// PreviewFile is a file of a torrent that is not in the library.
type PreviewFile struct {
	Path string // clean, with slashes
	Size int64  // in bytes
}

// infohashLink makes a magnet link of an infohash alone: 40 hexadecimal digits or 32 of base32 (version 1), or 64 hexadecimal ones (version 2).
func infohashLink(s string) (magnet string, ok bool) {
	s = strings.TrimSpace(s)
	switch len(s) {
	case hex.EncodedLen(20), hex.EncodedLen(32):
		if _, err := hex.DecodeString(s); err != nil {
			return "", false
		}
		if s = strings.ToLower(s); len(s) == hex.EncodedLen(32) {
			return "magnet:?xt=urn:btmh:1220" + s, true // a multihash: SHA-256, 32 bytes
		}
		return "magnet:?xt=urn:btih:" + s, true
	case base32.StdEncoding.EncodedLen(20):
		b, err := base32.StdEncoding.DecodeString(strings.ToUpper(s))
		// Line ends inside are skipped, and make it shorter.
		if err != nil || len(b) != 20 {
			return "", false
		}
		return "magnet:?xt=urn:btih:" + hex.EncodeToString(b), true
	}
	return "", false
}

// RecogniseLink says what a line is that somebody wants to add, by its form alone. The error is an *InputError.
func RecogniseLink(link string) (PreviewKind, error) {
	link = strings.TrimSpace(link)
	scheme, _, _ := strings.Cut(link, ":")
	switch strings.ToLower(scheme) {
	case "magnet":
		return PreviewMagnet, nil
	case "http", "https":
		return PreviewURL, nil
	}
	if _, ok := infohashLink(link); ok {
		return PreviewInfohash, nil
	}
	return "", inputErrorf("%.80q is no magnet link, no infohash, and no URL that begins with http:// or https://", link)
}

// PreviewLink says what a magnet link, an infohash or the URL of a .torrent file would add, and changes nothing. It waits for
// the server of a URL as AddURL does, and for nothing else. The errors are those of AddURL, but for *ExistsError.
func (l *Library) PreviewLink(ctx context.Context, link string) (Preview, error) {
	kind, err := RecogniseLink(link)
	if err != nil {
		return Preview{}, err
	}
	switch kind {
	case PreviewURL:
		found, err := l.fetchLink(ctx, link)
		if err != nil {
			return Preview{}, err
		}
		if found.magnet != "" {
			return l.previewMagnet(found.magnet)
		}
		p, err := l.PreviewMetainfo(found.metainfo)
		return p, found.explain(err)
	case PreviewInfohash:
		link, _ = infohashLink(link)
	}
	return l.previewMagnet(strings.TrimSpace(link))
}

func (l *Library) previewMagnet(magnet string) (Preview, error) {
	link, err := parseMagnet(magnet)
	if err != nil {
		return Preview{}, err
	}
	return Preview{Infohash: link.infohash, Name: link.name, Trackers: len(link.trackers), Known: l.known(link.infohash)}, nil
}

// PreviewMetainfo says what a .torrent file would add, and changes nothing. It waits for nothing. The error is an
// *InputError; of a torrent that can be read, but not be added, it comes with the preview.
func (l *Library) PreviewMetainfo(metainfo []byte) (Preview, error) {
	m, err := ParseMetainfo(metainfo)
	if err != nil {
		return Preview{}, err
	}
	p := Preview{
		Infohash: m.Infohash, Name: m.Name, Resolved: true, Size: m.Size, Files: len(m.Files), Private: m.Private, Known: l.known(m.Infohash),
	}
	for _, tier := range m.trackers() {
		p.Trackers += len(tier)
	}
	for _, f := range m.Files[:min(len(m.Files), maxPreviewFiles)] {
		p.FirstFiles = append(p.FirstFiles, PreviewFile{Path: cmp.Or(path.Join(f.Path...), m.Name), Size: f.Size})
	}
	g := m.geometry()
	if err := l.checkFits(&g, nil); err != nil {
		return p, inputErrorf("%v", err)
	}
	return p, nil
}

// known returns the torrent if the library has it, and nil otherwise.
func (l *Library) known(ih Infohash) *Torrent {
	t, err := l.Torrent(ih)
	if err != nil {
		return nil
	}
	return &t
}
