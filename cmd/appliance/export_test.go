package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/admin"
	"shoal/admin/access"
	"shoal/archive"
	"shoal/nfsfs"
	"shoal/nfsfs/mount"
	"shoal/nfsfs/nfs3"
	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/torrents"
	"shoal/tree"
)

// content is that of a file which is there.
type content string

func (content) Ready(int64, int) bool { return true }

func (content) Await(context.Context, int64, int) (func(), error) { return func() {}, nil }

func (c content) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return strings.NewReader(string(c)).ReadAt(p, off)
}

// exported serves a tree with the file /films/a torrent/a file over NFS, and the admin site of that.
func exported(t *testing.T) (*nfsfs.Server, http.Handler) {
	t.Helper()
	names, log := tree.New(time.Now()), slog.New(slog.DiscardHandler)
	if err := names.PutRoute(tree.Route{ID: 2, Name: "films"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	err := names.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{0xab}, Route: 2, Name: "a torrent", FirstID: 10,
		Files: func() ([]tree.File, error) {
			return []tree.File{{Path: []string{"a file"}, Size: 10, Content: content("0123456789")}}, nil
		},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ports, err := nfsfs.OpenPorts("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	export := nfsfs.New(t.Context(), ports, nfsfs.Options{
		Tree: names, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ReadWait: time.Minute,
		Space: func() nfs3.Space { return nfs3.Space{} }, Logger: log,
	})
	served := make(chan error, 1)
	go func() { served <- export.Serve() }()
	t.Cleanup(func() {
		if err := export.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	stats := func() torrents.Stats {
		return torrents.Stats{
			Torrents: map[torrents.State]int{torrents.StateIdle: 3, torrents.StateFailed: 0}, Size: 1 << 40, Members: 2,
			Activity: torrents.Activity{Peers: 7}, Received: 5000, Sent: 60, Cached: 800,
			Evicted:   map[string]int64{"room": 11, "request": 12, "removed": 0},
			CacheUsed: 850, Lodged: map[string]int64{"spool": 40}, CacheLimit: 900, OpenFiles: 4,
		}
	}
	inside := func() archive.Stats {
		return archive.Stats{Inflated: 5, Delivered: 6, Open: 7, SegmentBytes: 8, Segments: 9, SpoolBytes: 10}
	}
	of := metricSources{export: export, requests: admin.NewRequestMetrics(), stats: stats, inside: inside, torrents: oddTorrents}
	who, err := access.Open(access.Options{Path: filepath.Join(t.TempDir(), "access.json"), Password: "password", Token: "token", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = who.Close() })
	return export, admin.New(admin.Options{
		Access: who, BasePath: "/shoal", Logger: log,
		Tree: names, Clients: clients(export), Readers: readers(export), Metrics: metrics(of, log), Requests: of.requests,
	})
}

// get asks the admin site.
func get(t *testing.T, site http.Handler, path, token string, wantStatus int) []byte {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://nas/shoal"+path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	rec := httptest.NewRecorder()
	site.ServeHTTP(rec, r)
	if rec.Code != wantStatus {
		t.Fatalf("GET %s answers %d %s, want %d", path, rec.Code, rec.Body, wantStatus)
	}
	return rec.Body.Bytes()
}

// TestExportIsSeen mounts and reads, and looks for itself in what the admin site tells.
func TestExportIsSeen(t *testing.T) {
	export, site := exported(t)
	for _, path := range []string{"/metrics", "/api/v1/clients", "/api/v1/readers"} {
		get(t, site, path, "wrong", http.StatusUnauthorized)
	}
	begin := time.Now()
	mountAndRead(t, export)

	var seen struct {
		Clients []admin.Client
		Readers []admin.Reader
	}
	for _, path := range []string{"/api/v1/clients", "/api/v1/readers"} {
		if err := json.Unmarshal(get(t, site, path, "token", http.StatusOK), &seen); err != nil {
			t.Fatalf("GET %s: %v", path, err)
		}
	}
	if len(seen.Clients) != 1 || len(seen.Clients[0].Mounts) != 1 || len(seen.Readers) != 1 {
		t.Fatalf("seen are %+v, want a client, its mount, and what it reads", seen)
	}
	c, r := &seen.Clients[0], &seen.Readers[0]
	for what, at := range map[string]*time.Time{
		"first seen": &c.FirstSeen, "last seen": &c.LastSeen, "mounted": &c.Mounts[0].Since, "reads since": &r.Since, "last read": &r.LastRead,
	} {
		if at.Before(begin.Truncate(0)) || at.After(time.Now()) {
			t.Errorf("%s at %v, want %v or a little later", what, at, begin)
		}
		*at = time.Time{}
	}
	here := netip.MustParseAddr("127.0.0.1")
	if c.Addr != here || c.Machine != "tv" || c.Connections != 1 || c.Mounts[0].Path != "/films/a torrent" || c.Calls != 3 || c.BytesRead != 4 {
		t.Errorf("the client is %+v", c)
	}
	if got := export.BytesRead(); got != 4 {
		t.Errorf("the export has sent %d bytes, want 4", got)
	}
	if want := (admin.Reader{
		Protocol: admin.ProtocolNFS, Client: here, Path: "/films/a torrent/a file", Infohash: [20]byte{0xab}, Size: 10, Offset: 7, BytesRead: 4,
	}); *r != want {
		t.Errorf("the reader is %+v, want %+v", *r, want)
	}

	text := string(get(t, site, "/metrics", "token", http.StatusOK))
	for _, want := range []string{
		`shoal_nfs_requests_total{proc="MNT",program="mount",status="OK"} 1`,
		`shoal_nfs_requests_total{proc="LOOKUP",program="nfs",status="OK"} 1`,
		`shoal_nfs_requests_total{proc="READ",program="nfs",status="OK"} 1`,
		`shoal_nfs_request_duration_seconds_count{proc="READ"} 1`,
		"shoal_read_wait_seconds_count 0", `shoal_nfs_read_bytes_total{export="films"} 4`, "shoal_stalled_readers 0", "shoal_nfs_clients 1", "shoal_readers 1",
		`shoal_torrents{state="idle"} 3`, `shoal_torrents{state="failed"} 0`, "shoal_torrents_bytes 1.099511627776e+12",
		"shoal_swarm_torrents 2", "shoal_peers 7", `shoal_swarm_bytes_total{dir="down"} 5000`, `shoal_swarm_bytes_total{dir="up"} 60`,
		"shoal_read_amplification_ratio 1250\n",
		`shoal_cache_evictions_total{reason="removed"} 0`, `shoal_cache_evictions_total{reason="request"} 12`, `shoal_cache_evictions_total{reason="room"} 11`,
		`shoal_http_requests_total{code="200",route="/api/v1/readers"} 1`, `shoal_http_requests_total{code="401",route="other"} 3`,
		`shoal_http_request_duration_seconds_count{route="/api/v1/clients"} 1`, "shoal_http_streams 0", `shoal_logins_total{result="ok"} 0`,
		"shoal_cache_bytes 800", "shoal_cache_used_bytes 850",
		`shoal_cache_archive_bytes{folder="spool"} 40`, "shoal_cache_limit_bytes 900", "shoal_cache_open_files 4",
		"shoal_archive_inflated_bytes_total 5", "shoal_archive_delivered_bytes_total 6", "shoal_archive_open_members 7",
		"shoal_archive_memory_bytes 8", "shoal_archive_segments 9", "shoal_archive_spool_bytes 10",
		"shoal_build_info{goversion=\"go", "go_goroutines ", "process_start_time_seconds ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("the metrics do not have %s:\n%s", want, text)
		}
	}
}

// mountAndRead mounts /films/a torrent as a machine called tv, and reads 4 bytes at 3 of "a file" in it.
func mountAndRead(t *testing.T, export *nfsfs.Server) {
	t.Helper()
	conn, err := net.Dial("tcp", export.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	credential := xdr.AppendWords(xdr.AppendOpaque(xdr.AppendUint32(nil, 1), "tv"), 0, 0, 0)
	call := func(program, proc uint32, args []byte) *xdr.Decoder {
		t.Helper()
		header := rpc.Header{Program: program, Version: 3, Proc: proc, Flavor: rpc.AuthSys, Credential: credential}
		result, err := rpc.Exchange(t.Context(), conn, header, args)
		if err != nil {
			t.Fatal(err)
		}
		d := xdr.NewDecoder(result)
		if status := d.Uint32(); status != 0 {
			t.Fatalf("procedure %d of program %d answers with status %d", proc, program, status)
		}
		return &d
	}
	const mnt, lookup, read, attributes = 1, 3, 6, 4 + 84
	folder := slices.Clone(call(mount.Program, mnt, xdr.AppendOpaque(nil, "/films/a torrent")).Opaque(64))
	file := call(nfs3.Program, lookup, xdr.AppendOpaque(xdr.AppendOpaque(nil, folder), "a file")).Opaque(64)
	args := binary.BigEndian.AppendUint64(xdr.AppendOpaque(nil, file), 3)
	d := call(nfs3.Program, read, xdr.AppendUint32(args, 4))
	d.Fixed(attributes)
	d.Uint64() // count, end of file
	if got := d.String(100); got != "3456" {
		t.Fatalf("read: %q", got)
	}
}
