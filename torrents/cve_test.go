package torrents

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	pp "github.com/anacrolix/torrent/peer_protocol"
)

// The tests here are named after what happened to others.

// climbers are names that lead out of a folder, or nowhere.
var climbers = []string{"..", ".", "", "/etc", "../../etc", `..\..\x`, `C:\x`, "a\x00b", "a/b", "..\x00", "\u2025", "%2e%2e", "\xff\xfe", strings.Repeat("n", 5000)}

// TestCVE_2010_0012_Version2: the trees of version 2, and of both at once, lead out of a folder no more than the lists of version 1, which
// TestCVE_2010_0012_OddNames is about.
func TestCVE_2010_0012_Version2(t *testing.T) {
	for _, name := range climbers {
		leaf := dict{name: v2Leaf(5, root32), "b": v2Leaf(6, root32)}
		infos := map[string]dict{
			"a file":         {"name": name, "meta version": 2, "piece length": 16384, "file tree": dict{name: v2Leaf(5, root32)}},
			"a file beside":  {"name": "n", "meta version": 2, "piece length": 16384, "file tree": leaf},
			"a folder":       {"name": name, "meta version": 2, "piece length": 16384, "file tree": dict{name: leaf}},
			"folders":        {"name": name, "meta version": 2, "piece length": 16384, "file tree": dict{name: dict{name: dict{name: leaf}}}},
			"of version 1":   {"name": name, "piece length": 16384, "length": 5, "pieces": hashes(1)},
			"of two at once": {"name": name, "piece length": 16384, "length": 5, "pieces": hashes(1), "meta version": 2, "file tree": dict{name: v2Leaf(5, root32)}},
			"of path.utf-8": {"name": "n", "name.utf-8": name, "piece length": 16384, "pieces": hashes(1), "files": []any{
				dict{"length": 5, "path": []any{"a"}, "path.utf-8": []any{name, name}},
			}},
		}
		for what, info := range infos {
			m, err := ParseMetainfo(encode(t, dict{"info": info}))
			if err != nil {
				if _, ok := errors.AsType[*InputError](err); !ok {
					t.Errorf("%s called %.20q: %v", what, name, err)
				}
				continue
			}
			checkMetainfo(t, m)
		}
	}
}

// TestCVE_2017_1000420_LinksOfTorrents: symbolic links of torrents (BEP 47) led out of what others share. Here they are no links.
func TestCVE_2017_1000420_LinksOfTorrents(t *testing.T) {
	m, err := ParseMetainfo(v1(t, "n", file(5, "a"),
		dict{"length": 0, "path": []any{"passwd"}, "attr": "l", "symlink path": []any{"..", "..", "etc", "passwd"}},
		dict{"length": 0, "path": []any{"dir"}, "attr": "lhx", "symlink path": []any{"/"}},
		dict{"length": 1, "path": []any{"dir", "x"}}))
	if err != nil {
		t.Fatal(err)
	}
	checkMetainfo(t, m)
	var paths []string
	for _, f := range m.Files {
		paths = append(paths, strings.Join(f.Path, "/"))
	}
	if got := strings.Join(paths, " "); got != "a passwd dir dir (2)/x" {
		t.Errorf("the files are %q, want links to be files without content", got)
	}
}

// TestCVE_2020_8437_NestedBencode: µTorrent's stack overflowed when lists were in lists. Metainfo is scanned by us, and what peers, trackers and
// DHT nodes send is decoded by the engine, which has a limit since v1.62.0.
func TestCVE_2020_8437_NestedBencode(t *testing.T) {
	for _, n := range []int{1000, 1_000_000} {
		for _, of := range []struct{ open, shut string }{{"l", "e"}, {"d1:a", "e"}} {
			nested := strings.Repeat(of.open, n) + "i1e" + strings.Repeat(of.shut, n)
			for _, b := range []string{nested, "d4:info" + nested + "e", "d1:a" + nested + "4:infodee", "d4:infod9:file tree" + nested + "ee", strings.Repeat(of.open, n)} {
				if m, err := ParseMetainfo([]byte(b)); err == nil {
					t.Errorf("%.40q… of %d levels is read as %+v", b, n, m)
				}
				var any1 any
				var handshake pp.ExtendedHandshakeMessage
				for _, into := range []any{&any1, &handshake, &struct{ A any }{}} {
					if err := bencode.Unmarshal([]byte(b), into); err == nil {
						t.Errorf("%.40q… of %d levels is decoded", b, n)
					}
				}
			}
		}
	}
}

// TestCVE_2010_1853_CVE_2018_10756_Magnets: Transmission was overrun by magnet links with many trackers and web seeds.
func TestCVE_2010_1853_CVE_2018_10756_Magnets(t *testing.T) {
	link := func(parameter string, n int) string {
		var b strings.Builder
		b.WriteString("magnet:?xt=urn:btih:" + strings.Repeat("a", 40))
		for i := range n {
			b.WriteString("&" + parameter + "=" + url.QueryEscape(fmt.Sprintf("http://t%d/", i)))
		}
		return b.String()
	}
	for _, parameter := range []string{"tr", "ws", "x.pe", "xs", "as", "kt", "dn", "xt", "tr.1", "so"} {
		for _, n := range []int{1000, 100_000} {
			m, err := parseMagnet(link(parameter, n))
			if _, refused := errors.AsType[*InputError](err); err != nil && !refused {
				t.Errorf("%d times %s: %v", n, parameter, err)
			}
			if len(m.trackers) > maxTrackers || len(m.webSeeds) > maxWebSeeds || len(m.peers) > maxMagnetPeers {
				t.Errorf("%d times %s gives %d trackers, %d web seeds, %d peers", n, parameter, len(m.trackers), len(m.webSeeds), len(m.peers))
			}
		}
	}
	if m, err := parseMagnet(link("tr", 1000)); err != nil || len(m.trackers) != maxTrackers {
		t.Errorf("of 1000 trackers %d are taken, %v; want %d", len(m.trackers), err, maxTrackers)
	}
}

// TestCVE_2014_4909_HostilePeer: Transmission wrote outside of an array for a bitfield of a peer. Here peers say what is wrong about pieces that
// there are not, while data comes from an honest one. test/hostile has floods of it.
func TestCVE_2014_4909_HostilePeer(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{"a": randomBytes(300_000)})
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, startPeer(t, s).addr))
	mustAdd(t, l, "r", s.metainfo)
	shown := rec.await(t, s.infohash)
	if _, err := mustLoad(t, shown)[0].ReadAt(t.Context(), make([]byte, 1), 0); err != nil {
		t.Fatal(err)
	}
	message := func(kind byte, payload ...uint32) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(1+4*len(payload)))
		b = append(b, kind)
		for _, word := range payload {
			b = binary.BigEndian.AppendUint32(b, word)
		}
		return b
	}
	extended := func(id byte, payload string) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(2+len(payload)))
		return append(append(b, byte(pp.Extended), id), payload...)
	}
	const all = 1<<32 - 1
	peers := 0
	for what, sent := range map[string][]byte{
		"a bitfield of nothing":        message(byte(pp.Bitfield)),
		"a bitfield of 400,000 pieces": message(byte(pp.Bitfield), repeated(12_500, all)...),
		"a bitfield, all bits":         message(byte(pp.Bitfield), all),
		"pieces that are not there":    bytes.Join([][]byte{message(byte(pp.Have), all), message(byte(pp.Have), 1<<31), message(byte(pp.Have), 19)}, nil),
		"requests outside":             append(message(byte(pp.Interested)), message(byte(pp.Request), all, all, all)...),
		"cancels outside":              message(byte(pp.Cancel), all, 0, 1<<31),
		"rejects outside":              message(byte(pp.Reject), all, 0, 1<<14),
		"a block outside":              message(byte(pp.Piece), all, all, 1, 2, 3),
		"a block of nothing":           message(byte(pp.Piece), 0, 0),
		"allowed fast outside":         message(byte(pp.AllowedFast), all),
		"suggested outside":            message(byte(pp.Suggest), all),
		"a message that is too short":  {0, 0, 0, 2, byte(pp.Have), 1},
		"a message of 4 GiB":           {0xff, 0xff, 0xff, 0xff, byte(pp.Bitfield), 1},
		"an unknown message":           message(250, all),
		"lists in lists":               extended(0, "d1:m"+strings.Repeat("l", 200_000)+strings.Repeat("e", 200_000)+"e"),
		"odd numbers":                  extended(0, "d13:metadata_sizei-1e4:reqqi-99999999999e1:pi99999999e1:md11:ut_metadatai-1e6:ut_pexi99999eee"),
		"metadata of nowhere":          extended(1, "d8:msg_typei1e5:piecei-1e10:total_sizei99999999999ee"),
	} {
		conn, err := net.DialTimeout("tcp", l.swarm.client.ListenAddrs()[0].String(), 10*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		peers++
		hello := append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x05"), s.infohash[:]...)
		hello = append(hello, fmt.Sprintf("-XX0000-%012d", peers)...) // each is another peer
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Write(hello); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := io.ReadFull(conn, make([]byte, len(hello))); err != nil {
			t.Errorf("%s: the handshake is not answered: %v", what, err)
		}
		_, _ = conn.Write(sent) // it may hang up
		// It hangs up, or has something to say: both is behind what was sent.
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: neither an answer nor the end", what)
		}
		_ = conn.Close()
	}
	readFiles(t, shown, s.files)
}

// repeated is n times the same word.
func repeated(n int, word uint32) []uint32 {
	words := make([]uint32, n)
	for i := range words {
		words[i] = word
	}
	return words
}
