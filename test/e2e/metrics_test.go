//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/seeder"
)

const programNFS, programMount = 100003, 100005

// nfsFile is a file that is read by calls whose number is known, as that of a kernel's is not.
type nfsFile struct {
	conn   net.Conn
	handle []byte
}

func nfsCall(ctx context.Context, conn net.Conn, program, proc uint32, args []byte) (xdr.Decoder, error) {
	result, err := rpc.Exchange(ctx, conn, rpc.Header{Program: program, Version: 3, Proc: proc}, args)
	d := xdr.NewDecoder(result)
	if status := d.Uint32(); err == nil && status != 0 {
		err = fmt.Errorf("procedure %d of program %d answers with status %d", proc, program, status)
	}
	return d, err
}

// openNFS mounts a folder and looks a file up.
func openNFS(ctx context.Context, t *testing.T, a *appliance.Appliance, folder, name string) *nfsFile {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(a.NFSPort)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	d, err := nfsCall(ctx, conn, programMount, 1, xdr.AppendOpaque(nil, folder))
	root := slices.Clone(d.Opaque(64))
	if err == nil {
		d, err = nfsCall(ctx, conn, programNFS, 3, xdr.AppendOpaque(xdr.AppendOpaque(nil, root), name))
	}
	if err != nil {
		t.Fatalf("open %s of %s: %v", name, folder, err)
	}
	return &nfsFile{conn, slices.Clone(d.Opaque(64))}
}

// read reads n bytes at off, by one READ.
func (f *nfsFile) read(ctx context.Context, off uint64, n uint32) ([]byte, error) {
	const attributes = 4 + 84
	args := xdr.AppendUint32(xdr.AppendUint64(xdr.AppendOpaque(nil, f.handle), off), n)
	d, err := nfsCall(ctx, f.conn, programNFS, 6, args)
	if err != nil {
		return nil, err
	}
	d.Fixed(attributes)
	d.Uint64() // count, end of file
	data := slices.Clone(d.Opaque(int(n)))
	return data, d.Err()
}

const metricsPiece, metricsSize, metricsRead = 256 << 10, 4 << 20, 32 << 10

// TestMetricsAreReal reads a torrent of a foreign seeder twice, evicts it, and waits for another that nobody has: the metrics tell of that.
func TestMetricsAreReal(t *testing.T) {
	t.Parallel()
	seeder.Require(t)
	dir := t.TempDir()
	seeder.WriteFiles(t, dir, map[string]int{"a film.bin": metricsSize})
	want, err := os.ReadFile(filepath.Join(dir, "a film.bin"))
	if err != nil {
		t.Fatal(err)
	}
	torrent := seeder.Create(t, filepath.Join(dir, "a film.bin"), metricsPiece, false)
	d := seeder.Start(t, dir)
	ih := d.Add(t, torrent)
	d.Eager(t)
	a := appliance.Start(t, "SHOAL_ROUTES=films,dead", "SHOAL_BT_PEERS="+d.Addr(), "SHOAL_METRICS_PER_TORRENT=true")
	ctx := deadline(t)
	a.Upload(t, "films", torrent, http.StatusCreated)
	a.AddDead(t, "dead", "nobody's", complete.File{Path: "file", Content: random("nobody's", 100_000).Content})
	checkMetrics(t, "before anybody reads", a.Metrics(t), map[string]float64{
		`shoal_nfs_read_bytes_total{export="films"}`: 0, `shoal_swarm_bytes_total{dir="down"}`: 0, "shoal_read_amplification_ratio": 0,
		`shoal_torrents{state="idle"}`: 2, "shoal_cache_bytes": 0, "shoal_nfs_clients": 0,
	})

	film := openNFS(ctx, t, a, "/films", "a film.bin")
	readFilm := func() {
		t.Helper()
		var got []byte
		for len(got) < len(want) {
			b, err := film.read(ctx, uint64(len(got)), metricsRead)
			if err != nil {
				t.Fatalf("read at %d: %v", len(got), err)
			}
			got = append(got, b...)
		}
		if !bytes.Equal(got, want) {
			t.Fatal("what was read is not what the seeder has")
		}
	}
	readFilm()
	first := a.Metrics(t)
	of := func(name string) string {
		return fmt.Sprintf("%s{infohash=%q,name=\"a film.bin\",route=\"films\"}", name, ih)
	}
	checkMetrics(t, "when it was read", first, map[string]float64{
		`shoal_nfs_read_bytes_total{export="films"}`: metricsSize, `shoal_nfs_read_bytes_total{export="dead"}`: 0,
		`shoal_nfs_requests_total{proc="READ",program="nfs",status="OK"}`: metricsSize / metricsRead,
		"shoal_nfs_clients": 1, "shoal_readers": 1, "shoal_stalled_readers": 0, "shoal_swarm_torrents": 1,
		"shoal_cache_bytes": metricsSize, `shoal_torrents{state="complete"}`: 1,
		of("shoal_torrent_cached_bytes"): metricsSize, of("shoal_torrent_size_bytes"): metricsSize,
		`shoal_http_requests_total{code="201",route="/api/v1/torrents"}`: 2,
	})
	down, sent := first[`shoal_swarm_bytes_total{dir="down"}`], float64(d.Uploaded(t, ih))
	if down < metricsSize || down > sent {
		t.Errorf("%v bytes came from peers, want those of the file (%d) and no more than the seeder sent (%v)", down, metricsSize, sent)
	}
	if waits := first["shoal_read_wait_seconds_count"]; waits < 1 || waits > metricsSize/metricsRead {
		t.Errorf("%v READs waited for pieces, want some", waits)
	}
	checkRatio(t, first, down/metricsSize)

	readFilm()
	second := a.Metrics(t)
	checkMetrics(t, "when it was read again", second, map[string]float64{
		`shoal_nfs_read_bytes_total{export="films"}`: 2 * metricsSize, `shoal_swarm_bytes_total{dir="down"}`: down,
		"shoal_read_wait_seconds_count": first["shoal_read_wait_seconds_count"],
	})
	checkRatio(t, second, down/(2*metricsSize))

	// What is around the end of the last read stays, as the reader may want it.
	a.Call(t, http.MethodPost, "/torrents/"+ih+"/evict", map[string]string{}, http.StatusOK, nil)
	third := a.Metrics(t)
	evicted := third[`shoal_cache_evictions_total{reason="request"}`]
	if evicted < metricsSize/metricsPiece/2 {
		t.Errorf("%v pieces were evicted, want most of %d", evicted, metricsSize/metricsPiece)
	}
	checkMetrics(t, "when it was evicted", third, map[string]float64{
		`shoal_cache_evictions_total{reason="room"}`: 0, `shoal_cache_evictions_total{reason="removed"}`: 0,
		"shoal_cache_bytes": metricsSize - evicted*metricsPiece, of("shoal_torrent_cached_bytes"): metricsSize - evicted*metricsPiece,
	})
	stallReader(ctx, t, a)
}

// stallReader reads what nobody has, and hangs up.
func stallReader(ctx context.Context, t *testing.T, a *appliance.Appliance) {
	t.Helper()
	file := openNFS(ctx, t, a, "/dead/nobody's", "file")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = file.read(ctx, 0, metricsRead) // until the connection is closed
	}()
	stalled := func(want float64) func() (string, bool) { //nolint:contextcheck // each call has a deadline of its own
		return func() (string, bool) {
			m := a.Metrics(t)
			got, waiting := m["shoal_stalled_readers"], m["shoal_nfs_waiting"]
			return fmt.Sprintf("%v stalled readers, %v calls that wait", got, waiting), got == want && waiting == want
		}
	}
	begin := time.Now()
	await(t, "the reader stalls", stalled(1))
	if took := time.Since(begin); took < 4*time.Second {
		t.Errorf("a reader was stalled after %v already", took)
	}
	_ = file.conn.Close()
	<-ended
	await(t, "nobody waits", stalled(0))
}

func checkMetrics(t *testing.T, when string, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if have, ok := got[name]; !ok || have != value {
			t.Errorf("%s %s is %v (%v), want %v", when, name, have, ok, value)
		}
	}
}

func checkRatio(t *testing.T, metrics map[string]float64, want float64) {
	t.Helper()
	if got := metrics["shoal_read_amplification_ratio"]; math.Abs(got-want) > 1e-9 {
		t.Errorf("the read amplification is %v, want %v", got, want)
	}
}
