package nfsfs

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"shoal/nfsfs/mount"
	"shoal/nfsfs/nfs3"
	"shoal/nfsfs/nlm"
	"shoal/nfsfs/nsm"
	"shoal/nfsfs/portmap"
	"shoal/nfsfs/rpc"
)

// scrape returns the lines of what Prometheus is sent that begin with one of the prefixes, without what
// never happened.
func scrape(t *testing.T, s *Server, prefixes ...string) []string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(s); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("the metrics cannot be had: %d %s", rec.Code, rec.Body)
	}
	var lines []string
	for line := range strings.Lines(rec.Body.String()) {
		line = strings.TrimSuffix(line, "\n")
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) }) && !strings.HasSuffix(line, " 0") {
			lines = append(lines, line)
		}
	}
	return lines
}

func wantMetrics(t *testing.T, s *Server, want []string, prefixes ...string) {
	t.Helper()
	slices.Sort(want)
	if got := scrape(t, s, prefixes...); !slices.Equal(got, want) {
		t.Errorf("the metrics are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const requests = "shoal_nfs_requests_total"

// TestMetricsOfCalls makes calls, and has them counted by procedure and status.
func TestMetricsOfCalls(t *testing.T) {
	tr := testTree(t, newStuck())
	s := start(t, options(t, tr))
	w := dial(t, s)
	ready, folder := handleOf(t, tr, "films", "a torrent", "ready.txt"), handleOf(t, tr, "films")
	for _, call := range []struct {
		program, version, proc uint32
		args                   []byte
	}{
		{nfs3.Program, 3, 0, nil},
		{nfs3.Program, 3, getattr, opaque(ready)},
		{nfs3.Program, 3, getattr, opaque(ready)},
		{nfs3.Program, 3, getattr, opaque(make([]byte, 32))},
		{nfs3.Program, 3, getattr, nil},
		{nfs3.Program, 3, procLookup, append(opaque(folder), opaque([]byte("nothing"))...)},
		{nfs3.Program, 3, procRead, encodeRead(ready, 0, 5)},
		{nfs3.Program, 3, 22, nil},
		{nfs3.Program, 3, 1 << 31, nil},
		{nfs3.Program, 3, 1<<32 - 1, nil},
		{nfs3.Program, 4, 1, nil},
		{nfs3.Program, 1 << 31, 1 << 31, nil},
		{mount.Program, 3, procMount, opaque([]byte("/films"))},
		{mount.Program, 3, procMount, opaque([]byte("/nothing"))},
		{mount.Program, 1, 6, nil},
		{mount.Program, 3, 6, nil},
		{nsm.Program, 1, 0, nil},
		{nlm.Program, 4, 999, nil},
		{100227, 3, 0, nil},
		{1 << 31, 1, 1, nil},
	} {
		w.call(call.program, call.version, call.proc, call.args)
	}
	wantMetrics(t, s, []string{
		`shoal_nfs_requests_total{proc="EXPORTALL",program="mount",status="OK"} 1`,
		`shoal_nfs_requests_total{proc="GETATTR",program="nfs",status="GARBAGE_ARGS"} 1`,
		`shoal_nfs_requests_total{proc="GETATTR",program="nfs",status="OK"} 2`,
		`shoal_nfs_requests_total{proc="GETATTR",program="nfs",status="STALE"} 1`,
		`shoal_nfs_requests_total{proc="LOOKUP",program="nfs",status="NOENT"} 1`,
		`shoal_nfs_requests_total{proc="MNT",program="mount",status="NOENT"} 1`,
		`shoal_nfs_requests_total{proc="MNT",program="mount",status="OK"} 1`,
		`shoal_nfs_requests_total{proc="NULL",program="nfs",status="OK"} 1`,
		`shoal_nfs_requests_total{proc="READ",program="nfs",status="OK"} 1`,
		`shoal_nfs_requests_total{proc="0",program="nsm",status="OK"} 1`,
		`shoal_nfs_requests_total{proc="other",program="mount",status="PROC_UNAVAIL"} 1`,
		`shoal_nfs_requests_total{proc="other",program="nfs",status="PROC_UNAVAIL"} 3`,
		`shoal_nfs_requests_total{proc="other",program="nfs",status="PROG_MISMATCH"} 2`,
		`shoal_nfs_requests_total{proc="other",program="nlm",status="PROC_UNAVAIL"} 1`,
		`shoal_nfs_requests_total{proc="other",program="other",status="PROG_UNAVAIL"} 2`,
		`shoal_nfs_read_bytes_total{export="films"} 5`,
		`shoal_nfs_clients 1`,
		`shoal_nfs_connections 1`,
		`shoal_readers 1`,
	}, requests, "shoal_nfs_read", "shoal_nfs_c", "shoal_nfs_w", "shoal_r")
	if problems, err := testutil.CollectAndLint(s); err != nil || len(problems) > 0 {
		t.Errorf("what Prometheus thinks of the names: %v, %v", problems, err)
	}
}

// TestMetricsOfStrangers has clients refused that are not allowed.
func TestMetricsOfStrangers(t *testing.T) {
	tr := testTree(t, newStuck())
	opts := options(t, tr)
	opts.Allow = nil
	s := start(t, opts)
	w := dial(t, s)
	w.call(mount.Program, 3, procMount, opaque([]byte("/")))
	w.call(nfs3.Program, 3, getattr, opaque(handleOf(t, tr)))
	wantMetrics(t, s, []string{
		`shoal_nfs_requests_total{proc="GETATTR",program="nfs",status="AUTH_TOOWEAK"} 1`,
		`shoal_nfs_requests_total{proc="MNT",program="mount",status="ACCES"} 1`,
	}, requests)
}

// TestMetricsOfWaiting has only READs that wait for the swarm count as such.
func TestMetricsOfWaiting(t *testing.T) {
	never := newStuck()
	tr := testTree(t, never)
	opts := options(t, tr)
	opts.ReadWait = 50 * time.Millisecond
	s := start(t, opts)
	w := dial(t, s)
	w.send(nfs3.Program, 3, procRead, encodeRead(handleOf(t, tr, "films", "a torrent", "stuck.bin"), 0, 10))
	<-never.reads
	wantMetrics(t, s, []string{
		`shoal_nfs_waiting 1`,
	}, "shoal_nfs_waiting")
	w.receive()
	w.call(nfs3.Program, 3, procRead, encodeRead(handleOf(t, tr, "films", "a torrent", "ready.txt"), 0, 10))
	w.call(nfs3.Program, 3, 12, append(opaque(handleOf(t, tr, "films")), opaque([]byte("x"))...)) // REMOVE
	wantMetrics(t, s, []string{
		`shoal_nfs_requests_total{proc="READ",program="nfs",status="JUKEBOX"} 1`,
		`shoal_nfs_requests_total{proc="READ",program="nfs",status="OK"} 1`,
		`shoal_nfs_requests_total{proc="REMOVE",program="nfs",status="ROFS"} 1`,
	}, requests)
	wantMetrics(t, s, []string{
		`shoal_read_wait_seconds_bucket{le="+Inf"} 1`,
		`shoal_read_wait_seconds_count 1`,
		`shoal_nfs_request_duration_seconds_count{proc="READ"} 1`,
		`shoal_nfs_request_duration_seconds_count{proc="REMOVE"} 1`,
	}, `shoal_read_wait_seconds_bucket{le="+Inf"}`, "shoal_read_wait_seconds_count", "shoal_nfs_request_duration_seconds_count")
	wantMetrics(t, s, nil, `shoal_read_wait_seconds_bucket{le="0.01"}`)
}

// TestMetricsAreBounded has clients call whatever they like, and be answered everything.
func TestMetricsAreBounded(t *testing.T) {
	m := newMetrics()
	fixed := testutil.CollectAndCount(m.calls)
	numbers := []uint32{1 << 31, 1<<31 - 1, 1<<32 - 1, nfs3.Program, mount.Program, portmap.Program, nlm.Program, nsm.Program}
	for n := range uint32(3000) {
		numbers = append(numbers, n)
	}
	statuses := []rpc.Status{rpc.Success, rpc.Dropped + 100}
	for status := range statusNames {
		statuses = append(statuses, status)
	}
	for _, n := range numbers {
		for _, program := range []uint32{n, nfs3.Program, mount.Program, portmap.Program, nlm.Program, nsm.Program} {
			for _, status := range statuses {
				m.observe(&rpc.Call{Header: rpc.Header{Program: program, Version: n, Proc: n}}, status)
			}
		}
	}
	// The procedures with a name or a number, and other, with each status; and the rest.
	limit := fixed + (len(nfs3.Names)+len(mount.Names)+3*maxProc+6)*len(statuses)
	if got := testutil.CollectAndCount(m.calls); got > limit {
		t.Errorf("there are %d counters, want at most %d", got, limit)
	}
}

func TestResultNames(t *testing.T) {
	for _, test := range []struct {
		program, result uint32
		want            string
	}{
		{nfs3.Program, 0, "OK"},
		{nfs3.Program, nfsJukebox, "JUKEBOX"},
		{nfs3.Program, 13, "13"},
		{nfs3.Program, 1<<32 - 1, "4294967295"},
		{mount.Program, 13, "ACCES"},
		{mount.Program, 20, "NOTDIR"},
		{nlm.Program, 0, "OK"},
		{nlm.Program, 5, "5"}, // not IO
		{nsm.Program, 1, "1"},
	} {
		call := &rpc.Call{Header: rpc.Header{Program: test.program}, Result: test.result}
		if got := resultName(call); got != test.want {
			t.Errorf("result %d of program %d is %q, want %q", test.result, test.program, got, test.want)
		}
	}
}
