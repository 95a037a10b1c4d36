package admin

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
)

// LoginResult is how an attempt to log in ended, for RequestMetrics.Login.
type LoginResult string

// Results of attempts to log in.
const (
	LoginOK      LoginResult = "ok"
	LoginWrong   LoginResult = "wrong"   // name, password or token
	LoginBlocked LoginResult = "blocked" // after too many that were wrong
)

// RequestMetrics count HTTP requests, by the route that took them and never by the path, which strangers choose. It is a
// prometheus.Collector.
type RequestMetrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	sent     *prometheus.CounterVec
	logins   *prometheus.CounterVec
	streams  prometheus.Gauge
	content  atomic.Uint64 // bytes of torrents' files
}

// NewRequestMetrics returns metrics that are all 0. They are of the site that has them in its Options.
func NewRequestMetrics() *RequestMetrics {
	m := &RequestMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shoal_http_requests_total", Help: "Requests that were answered, by route and status; route other for those that no route took.",
		}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "shoal_http_request_duration_seconds", Help: "Time until a request was answered in full, by route; without streams.",
			Buckets: []float64{.001, .005, .025, .1, .25, 1, 5, 30},
		}, []string{"route"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shoal_http_sent_bytes_total", Help: "Bytes of the bodies of answers, by route.",
		}, []string{"route"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shoal_logins_total", Help: "Attempts to log in, by result: ok, wrong, or blocked after too many that were wrong.",
		}, []string{"result"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "shoal_http_streams", Help: "Streams of live changes (SSE) that are open.",
		}),
	}
	for _, result := range []LoginResult{LoginOK, LoginWrong, LoginBlocked} {
		m.logins.WithLabelValues(string(result)) // a rate needs the 0 before the first
	}
	return m
}

// Login counts an attempt to log in.
func (m *RequestMetrics) Login(result LoginResult) { m.logins.WithLabelValues(string(result)).Inc() }

// ContentBytes returns how many bytes of torrents' files were sent: those of routes below /fs.
func (m *RequestMetrics) ContentBytes() uint64 { return m.content.Load() }

// Describe sends the descriptions of the metrics.
func (m *RequestMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(to)
	}
}

// Collect sends the metrics.
func (m *RequestMetrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(to)
	}
}

func (m *RequestMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.duration, m.sent, m.logins, m.streams}
}

// unrouted is the route of requests that no route took, or that were refused before.
const unrouted = "other"

// contentPrefix begins the templates of routes that send files of torrents.
const contentPrefix = "/fs"

// count counts the requests of a whole site; its routers need name.
func (m *RequestMetrics) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		a := &counted{ResponseWriter: w, metrics: m, route: unrouted}
		defer a.end(began)
		next.ServeHTTP(a, r.WithContext(context.WithValue(r.Context(), countedKey{}, a)))
	})
}

// name is middleware of a router, which tells count the route. base is the path of the site.
func (m *RequestMetrics) name(base string) mux.MiddlewareFunc {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if a, ok := r.Context().Value(countedKey{}).(*counted); ok {
				if template, err := mux.CurrentRoute(r).GetPathTemplate(); err == nil {
					a.route = strings.TrimPrefix(template, base)
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// countedKey is the context's key of the counted answer.
type countedKey struct{}

// counted is an answer that is counted. http.ResponseController finds what else the server's own can do.
type counted struct {
	http.ResponseWriter
	metrics *RequestMetrics
	route   string
	code    int // 0 until it is sent
	stream  bool
	sent    prometheus.Counter // nil until something is
}

// WriteHeader is for http.ResponseWriter.
func (a *counted) WriteHeader(code int) {
	if a.code == 0 && code >= http.StatusOK { // others are followed by the real one
		a.code = code
		kind, _, _ := mime.ParseMediaType(a.Header().Get("Content-Type"))
		if a.stream = kind == "text/event-stream"; a.stream {
			a.metrics.streams.Inc()
		}
	}
	a.ResponseWriter.WriteHeader(code)
}

// Write is for http.ResponseWriter.
func (a *counted) Write(b []byte) (int, error) {
	if a.code == 0 {
		a.WriteHeader(http.StatusOK)
	}
	n, err := a.ResponseWriter.Write(b)
	if a.sent == nil {
		a.sent = a.metrics.sent.WithLabelValues(a.route)
	}
	a.sent.Add(float64(n))
	if a.route == contentPrefix || strings.HasPrefix(a.route, contentPrefix+"/") {
		a.metrics.content.Add(uint64(n))
	}
	return n, err
}

// Flush is http.Flusher, for whoever asks for that instead of using http.ResponseController.
func (a *counted) Flush() {
	if a.code == 0 {
		a.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(a.ResponseWriter).Flush() // the interface has no error
}

// Unwrap is for http.ResponseController.
func (a *counted) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *counted) end(began time.Time) {
	if a.stream {
		a.metrics.streams.Dec()
	} else {
		a.metrics.duration.WithLabelValues(a.route).Observe(time.Since(began).Seconds())
	}
	code := a.code
	if code == 0 {
		code = http.StatusOK // the server sends it for a handler that wrote nothing
	}
	a.metrics.requests.WithLabelValues(a.route, strconv.Itoa(code)).Inc()
}
