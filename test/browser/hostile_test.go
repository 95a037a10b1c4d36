//go:build linux

package browser_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"

	"shoal/test/appliance"
	"shoal/test/complete"
)

// A name that strangers give begins with mark, so that it is found wherever a page shows it.
const mark = "hostile"

// What strangers may write: scripts where there is HTML, in an attribute, in a template; another direction; what nobody sees; far too much.
var (
	withImage   = mark + `<img src=/x onerror=window.hacked=1>&lt;b&gt;.mkv`
	withScript  = mark + `<script>window.hacked=1</script></title></textarea><svg onload=window.hacked=1>`
	withQuotes  = mark + `" onmouseover="window.hacked=1" hx-get="/x" hx-trigger="load" '` + "`${window.hacked=1}{{.}}"
	withBidi    = mark + "\u202egpj.exe"
	withIsolate = mark + "\u2069\u2069\u2067 שלום 12 GiB (3)"
	withHebrew  = mark + " שלום עולם 12"
	withControl = mark + "\x00\x07\x1b[31m\r\n\u0085\u200b\u00ad.txt"
	withoutEnd  = mark + strings.Repeat("W", 4<<10) + ".mkv"
	withMarks   = mark + strings.Repeat("\u0301\u0489", 60)
	notUTF8     = mark + "\xff\xc0\xaf.bin"

	hostileNames = []string{
		withImage, withScript, withQuotes, withBidi, withIsolate, withHebrew, withControl, withoutEnd, withMarks, notUTF8,
		mark + " javascript:window.hacked=1",
	}
	// Of routes and tokens, which a user names, less is possible.
	hostileRoutes = []string{
		strings.ReplaceAll(withImage, "/", ""), strings.ReplaceAll(withQuotes, "/", ""), withBidi, withIsolate,
		mark + strings.Repeat("W", 255-len(mark)),
	}
)

// strangers are those whose words an appliance shows: a peer and a tracker.
type strangers struct {
	peer    net.Listener
	tracker *httptest.Server
}

// meet starts strangers, who stay until the test ends.
func meet(t *testing.T) *strangers {
	t.Helper()
	peer, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &strangers{peer: peer}
	s.tracker = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		why := withScript + withBidi + withControl + withoutEnd
		fmt.Fprintf(w, "d14:failure reason%d:%se", len(why), why)
	}))
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := peer.Accept()
			if err != nil {
				return // it is closed
			}
			serving.Go(func() { beStrange(t.Context(), conn) })
		}
	})
	t.Cleanup(func() {
		peer.Close()
		s.tracker.Close()
		serving.Wait()
	})
	return s
}

// beStrange is a peer that has nothing but a name (BEP 10), until the context ends or the other side leaves.
func beStrange(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	hello := make([]byte, 68)
	if _, err := io.ReadFull(conn, hello); err != nil || hello[0] != 19 {
		return // encrypted: the other side tries without, next
	}
	copy(hello[20:28], "\x00\x00\x00\x00\x00\x10\x00\x00") // it knows extensions
	copy(hello[48:], "-XX0000-strange peer")
	name := withImage + withBidi + withQuotes
	extended := fmt.Sprintf("\x14\x00d1:mde1:v%d:%se", len(name), name)
	message := append(binary.BigEndian.AppendUint32(hello, uint32(len(extended))), extended...)
	if _, err := conn.Write(message); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, conn) // until one of both goes
}

// hostileLibrary is what strangers have put into an appliance.
type hostileLibrary struct {
	complete, idle, paused, failed, metadata string // infohashes

	film, zip string // paths in the tree, of files of the complete one
}

// fill puts torrents of all states into an appliance. It restarts it, as a torrent fails when its file was damaged meanwhile.
func fill(t *testing.T, a *appliance.Appliance, s *strangers) *hostileLibrary {
	t.Helper()
	for _, name := range hostileRoutes {
		a.Call(t, http.MethodPost, "/routes", map[string]string{"name": name}, http.StatusCreated, nil)
	}
	l := &hostileLibrary{}
	files := []complete.File{
		{Path: strings.ReplaceAll(withImage, "/", "") + ".zip", Content: hostileZip(t)},
		{Path: mark + " folder<img src=x onerror=window.hacked=1>\u202e/" + withBidi, Content: []byte("deep")},
	}
	for i, name := range hostileNames {
		files = append(files, complete.File{Path: strings.ReplaceAll(name, "/", "_"), Content: fmt.Append(nil, "file ", i)})
	}
	l.complete = a.AddComplete(t, hostileRoutes[0], withImage, files...).Infohash
	torrent := strings.ReplaceAll(withImage, "/", "_")
	l.film = "/" + url.PathEscape(hostileRoutes[0]) + "/" + url.PathEscape(torrent) + "/" + url.PathEscape(torrent)
	l.zip = "/" + url.PathEscape(hostileRoutes[0]) + "/" + url.PathEscape(torrent) + "/" + url.PathEscape(files[0].Path)
	for i, name := range hostileNames {
		route := hostileRoutes[i%len(hostileRoutes)]
		l.idle = a.Upload(t, route, hostileTorrent(t, name, "idle"), http.StatusCreated).Infohash
	}
	l.paused = a.Upload(t, hostileRoutes[2], hostileTorrent(t, withoutEnd, "paused"), http.StatusCreated).Infohash
	a.Call(t, http.MethodPatch, "/torrents/"+l.paused, map[string]any{"paused": true, "pinned": true}, http.StatusOK, nil)
	l.failed = a.Upload(t, hostileRoutes[3], hostileTorrent(t, withScript, "failed"), http.StatusCreated).Infohash
	a.Stop(t)
	damage(t, a, l.failed)
	a.Restart(t)
	link := url.Values{"dn": {withBidi + withImage}, "tr": {s.tracker.URL + "/announce?" + mark + "=<img>"}}
	l.metadata = a.AddMagnet(t, hostileRoutes[1], "magnet:?xt=urn:btih:"+strings.Repeat("ab", 20)+"&"+link.Encode()).Infohash
	return l
}

// damage spoils what an appliance keeps of a torrent.
func damage(t *testing.T, a *appliance.Appliance, infohash string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(a.Dir, "data", "*", infohash+".torrent"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the torrent file of %s is %v (%v)", infohash, found, err)
	}
	if err := os.WriteFile(found[0], []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hostileTorrent is a .torrent with hostile words wherever there is room for some. What it is for makes it another than those of the name.
func hostileTorrent(t *testing.T, name, what string) []byte {
	t.Helper()
	info := metainfo.Info{Name: name, PieceLength: 1 << 14, Source: what}
	for _, file := range hostileNames {
		info.Files = append(info.Files, metainfo.FileInfo{Length: 1000, Path: []string{file}})
		info.Files = append(info.Files, metainfo.FileInfo{Length: 10, Path: []string{mark + "\u202e<b>", file, file}})
	}
	info.Pieces = make([]byte, 20*((info.TotalLength()+info.PieceLength-1)/info.PieceLength))
	encoded, err := bencode.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	torrent, err := bencode.Marshal(metainfo.MetaInfo{
		InfoBytes: encoded, Comment: withScript, CreatedBy: withQuotes, Announce: "http://127.0.0.1:1/" + withQuotes,
		AnnounceList: metainfo.AnnounceList{
			{"http://127.0.0.1:1/" + withImage, "http://127.0.0.1:1/" + withBidi, "javascript:window.hacked=1//" + mark},
			{"http://127.0.0.1:1/" + withControl, "http://127.0.0.1:1/" + withoutEnd},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return torrent
}

// hostileZip is an archive with hostile names.
func hostileZip(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range hostileNames {
		name = cut(strings.ReplaceAll(name, "\x00", ""), 255) // what has one, or is too long, is left out
		member, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(member, name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// mountAs mounts a path (RFC 1813, 5.2.1) as a machine that calls itself what it likes, and stays until the test ends.
func mountAs(t *testing.T, a *appliance.Appliance, machine, path string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", a.NFSPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var call []byte
	number := func(list ...int) {
		for _, n := range list {
			call = binary.BigEndian.AppendUint32(call, uint32(n))
		}
	}
	text := func(s string) {
		number(len(s))
		call = append(call, s...)
		call = append(call, make([]byte, -len(s)&3)...)
	}
	const version, program, mountVersion, procedure, authSys = 2, 100005, 3, 1, 1
	number(1, 0, version, program, mountVersion, procedure, authSys, 20+len(machine)+-len(machine)&3, 0)
	text(machine)
	number(0, 0, 0, 0, 0) // user, group, no other groups; no verifier
	text(path)
	_, err = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(call))|1<<31), call...))
	reply := make([]byte, 4+28) // with the status
	if err == nil {
		_, err = io.ReadFull(conn, reply)
	}
	if status := binary.BigEndian.Uint32(reply[28:]); err != nil || status != 0 {
		t.Fatalf("mount %.50q: status %d (%v)", path, status, err)
	}
}

// readOverHTTP reads a file at a path of the site, so that there is somebody who reads.
func readOverHTTP(t *testing.T, a *appliance.Appliance, path string) {
	t.Helper()
	address := fmt.Sprintf("http://127.0.0.1:%d%s", a.HTTPPort, path)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+appliance.Token)
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatal(errors.Join(err, fmt.Errorf("read %.100q: status %d and %d bytes", path, answer.StatusCode, n)))
	}
}
