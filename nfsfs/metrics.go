package nfsfs

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"shoal/nfsfs/mount"
	"shoal/nfsfs/nfs3"
	"shoal/nfsfs/nlm"
	"shoal/nfsfs/nsm"
	"shoal/nfsfs/portmap"
	"shoal/nfsfs/rpc"
)

// metrics count calls. The counters of NFS are looked up by number, as those are many.
type metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	wait     prometheus.Histogram

	nfsOK       [len(nfs3.Names)]prometheus.Counter
	nfsDuration [len(nfs3.Names)]prometheus.Observer
}

func newMetrics() *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shoal_nfs_requests_total", Help: "Calls that were answered, by program, procedure and status.",
		}, []string{"program", "proc", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "shoal_nfs_request_duration_seconds", Help: "Time to answer a call that did not wait for the swarm.",
			Buckets: prometheus.ExponentialBuckets(4e-6, 4, 10), // 4 µs to 1 s
		}, []string{"proc"}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "shoal_read_wait_seconds", Help: "Time that a READ waited for a piece.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50},
		}),
	}
	for proc, name := range nfs3.Names {
		m.nfsOK[proc] = m.calls.WithLabelValues("nfs", name, "OK")
		m.nfsDuration[proc] = m.duration.WithLabelValues(name)
	}
	return m
}

// observe counts a call.
func (m *metrics) observe(call *rpc.Call, status rpc.Status) {
	if call.Program != nfs3.Program || call.Proc >= uint32(len(nfs3.Names)) || status != rpc.Success {
		program, proc := programNames(call, status)
		m.calls.WithLabelValues(program, proc, statusName(call, status)).Inc()
		return
	}
	if call.Result == 0 {
		m.nfsOK[call.Proc].Inc()
	} else {
		m.calls.WithLabelValues("nfs", nfs3.Names[call.Proc], resultName(call)).Inc()
	}
	if call.Waited > 0 && nfs3.Names[call.Proc] == "READ" { // what would change something waits, too
		m.wait.Observe(call.Waited.Seconds())
	} else {
		m.nfsDuration[call.Proc].Observe(time.Since(call.Began).Seconds())
	}
}

// programs are the names of what is answered, and of the procedures where those have some.
var programs = map[uint32]struct {
	name  string
	procs []string
}{
	nfs3.Program:    {"nfs", nfs3.Names[:]},
	mount.Program:   {"mount", mount.Names[:]},
	portmap.Program: {name: "portmap"},
	nlm.Program:     {name: "nlm"},
	nsm.Program:     {name: "nsm"},
}

// maxProc is above the procedures of the programs that have no names here.
const maxProc = 32

// other stands for what a client makes up, which is no label: there would be no end to them.
const other = "other"

// programNames are labels.
func programNames(call *rpc.Call, status rpc.Status) (program, proc string) {
	p, ok := programs[call.Program]
	switch {
	case !ok:
		return other, other
	case status == rpc.ProgramMismatch, status == rpc.ProcedureUnavailable:
		return p.name, other // another version has other procedures
	case call.Proc < uint32(len(p.procs)):
		return p.name, p.procs[call.Proc]
	case p.procs == nil && call.Proc < maxProc:
		return p.name, strconv.Itoa(int(call.Proc))
	default:
		return p.name, other
	}
}

// statusNames are those of RFC 5531, section 9, for calls without a result.
var statusNames = map[rpc.Status]string{
	rpc.ProgramUnavailable:   "PROG_UNAVAIL",
	rpc.ProgramMismatch:      "PROG_MISMATCH",
	rpc.ProcedureUnavailable: "PROC_UNAVAIL",
	rpc.GarbageArgs:          "GARBAGE_ARGS",
	rpc.SystemError:          "SYSTEM_ERR",
	rpc.TooWeak:              "AUTH_TOOWEAK",
	rpc.BadCredential:        "AUTH_BADCRED",
}

func statusName(call *rpc.Call, status rpc.Status) string {
	if status == rpc.Success {
		return resultName(call)
	}
	if name, ok := statusNames[status]; ok {
		return name
	}
	return other
}

// resultName is the name of a result, or its number: each protocol has its own. What we answer is never
// up to clients.
func resultName(call *rpc.Call) string {
	name := ""
	switch {
	case call.Result == 0:
		return "OK"
	case call.Program == mount.Program && call.Result == mountDenied:
		return "ACCES"
	case call.Program == nfs3.Program, call.Program == mount.Program: // whose other numbers are those of NFS
		name = nfs3.StatusName(call.Result)
	}
	if name == "" {
		return strconv.FormatUint(uint64(call.Result), 10)
	}
	return name
}

// mountDenied is MNT3ERR_ACCES (RFC 1813, appendix I).
const mountDenied = 13

// Describe and Collect make a Server a prometheus.Collector.

// Describe sends the descriptions of the metrics.
func (s *Server) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect sends the metrics.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	m := s.ledger.metrics
	for _, c := range []prometheus.Collector{m.calls, m.duration, m.wait} {
		c.Collect(ch)
	}
	connections := 0
	all := s.rpc.Connections()
	for _, n := range all {
		connections += n
	}
	for desc, value := range map[*prometheus.Desc]int{
		descClients: len(all), descConnections: connections, descWaiting: s.rpc.Waiting(), descReaders: len(s.Readers()),
		descStalled: s.ledger.waits.stalled(time.Now()),
	} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value))
	}
	names := routeNames(s.opts.Tree)
	for id, n := range s.ledger.routeBytes(names) {
		ch <- prometheus.MustNewConstMetric(descReadBytes, prometheus.CounterValue, float64(n), names[id])
	}
}

var (
	descClients     = prometheus.NewDesc("shoal_nfs_clients", "Machines that are connected.", nil, nil)
	descConnections = prometheus.NewDesc("shoal_nfs_connections", "Connections of clients.", nil, nil)
	descWaiting     = prometheus.NewDesc("shoal_nfs_waiting", "Calls that wait for the swarm.", nil, nil)
	descReaders     = prometheus.NewDesc("shoal_readers", "Files that a client has read of within the last minute, by each.", nil, nil)
	descStalled     = prometheus.NewDesc("shoal_stalled_readers", "Readers that wait for the swarm, for 5 seconds or longer.", nil, nil)
	descReadBytes   = prometheus.NewDesc("shoal_nfs_read_bytes_total", "Bytes of files that clients were sent, by route.", []string{"export"}, nil)
)
