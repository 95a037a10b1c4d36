package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"shoal/admin/guard"
)

const (
	// heartbeatTime is after how long without an event a comment is sent: clients and proxies take silence for a broken connection.
	heartbeatTime = 10 * time.Second
	// streamWriteTime is how long a client may take to read what it is sent.
	streamWriteTime = 30 * time.Second
	// allowedTime is how often it is looked whether a client still may.
	allowedTime = 3 * time.Second
	// retryTime is after how long a browser comes again.
	retryTime = 2 * time.Second

	maxStreams         = 256
	maxStreamsOfClient = 16

	// maxEventID bounds what a client keeps of a stream and sends when it comes again, in bytes.
	maxEventID = 4 << 10
)

// fragment is a part of what a stream shows, which is sent whenever it has become another.
type fragment struct {
	Name string // of the event: letters, digits, "-" and "_"
	Data []byte // what is sent
	sum  string // sumOf what the client has then; empty if that is Data
}

// lastEventID is the header by which a client that comes again says what it has.
const lastEventID = "Last-Event-ID"

// sumOf stands for data in what a client sends when it comes again.
func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// streams counts those that are open.
type streams struct {
	mu  sync.Mutex // held for moments
	all int
	of  map[netip.Prefix]int // by client
}

// enter counts a stream in, and says whether it may be: leave counts it out then.
func (l *streams) enter(client netip.Prefix) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxStreams || l.of[client] >= maxStreamsOfClient {
		return nil, false
	}
	if l.of == nil {
		l.of = make(map[netip.Prefix]int)
	}
	l.all++
	l.of[client]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		if l.of[client]--; l.of[client] == 0 {
			delete(l.of, client)
		}
	}, true
}

// streamClient is whom a stream counts for: an address, or all those of IPv6 that a machine can give itself.
func streamClient(r *http.Request) netip.Prefix {
	addr := guard.ClientAddr(r)
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	client, _ := addr.Prefix(bits) // of no address, none
	return client
}

// stream sends parts as server-sent events: those there are, and later whenever one has become another, at most once in a tick. A client
// that comes again is sent what is other than what it has. It ends when the client hangs up, reads nothing for long or may not any more, when
// parts fails, or the server stops. parts returns all of them each time; it is not called at the same time.
func (s *server) stream(w http.ResponseWriter, r *http.Request, parts func() ([]fragment, error)) {
	s.streamWhile(w, r, parts, s.stillAllowed)
}

// streamWhile is stream for who may be sent it as long as allowed says so.
func (s *server) streamWhile(
	w http.ResponseWriter, r *http.Request, parts func() ([]fragment, error), allowed func(*http.Request) bool,
) {
	h := w.Header()
	if r.Method == http.MethodHead {
		setStreamHeaders(h)
		return
	}
	leave, ok := s.streams.enter(streamClient(r))
	if !ok {
		h.Set("Retry-After", "30")
		s.problem(w, problem{
			Status: http.StatusTooManyRequests,
			Detail: "Too many pages are open that show live changes. Close some of them, and try again.",
		})
		return
	}
	defer func() {
		leave()
		s.ticks.renew() // nothing is kept for nobody
	}()
	s.ticks.renew()
	list, err := parts()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := &eventWriter{w: w, control: http.NewResponseController(w), has: parseEventID(r.Header.Get(lastEventID))}
	// The server's own is for requests that come to an end.
	if err := out.control.SetReadDeadline(time.Time{}); err != nil {
		s.fail(w, r, fmt.Errorf("open a stream: %w", err))
		return
	}
	setStreamHeaders(h)
	fmt.Fprintf(&out.buf, "retry: %d\n\n", retryTime.Milliseconds())
	for checked := time.Now(); ; {
		if out.send(list) != nil {
			return // the client is gone
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		case <-time.After(s.ticks.wait()):
		}
		if time.Since(checked) >= allowedTime {
			if !allowed(r) {
				return
			}
			checked = time.Now()
		}
		if list, err = parts(); err != nil {
			return // whoever comes again is told
		}
	}
}

// setStreamHeaders says what is sent, and that no proxy keeps it back.
func setStreamHeaders(h http.Header) {
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
}

// eventWriter sends events to a client.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	has     map[string]string // the sums of what the client has, by part
	buf     bytes.Buffer      // what is to be sent
	last    time.Time         // when something was sent
}

// send sends the parts that are other than what the client has, or a sign of life if it is time for one. The error is about the client.
func (e *eventWriter) send(list []fragment) error {
	has := e.has
	e.has = make(map[string]string, len(list))
	for _, p := range list {
		if sum, ok := has[p.Name]; ok {
			e.has[p.Name] = sum
		}
	}
	for _, p := range list {
		sum := p.sum
		if sum == "" {
			sum = sumOf(p.Data)
		}
		if e.has[p.Name] == sum {
			continue
		}
		e.has[p.Name] = sum
		e.event(p, list)
	}
	if e.buf.Len() == 0 {
		if time.Since(e.last) < heartbeatTime {
			return nil
		}
		e.buf.WriteString(": heartbeat\n\n")
	}
	if err := e.control.SetWriteDeadline(time.Now().Add(streamWriteTime)); err != nil {
		return err
	}
	_, err := e.buf.WriteTo(e.w)
	if err == nil {
		err = e.control.Flush()
	}
	e.buf.Reset()
	e.last = time.Now()
	return err
}

// lineEnds are what ends a line of a stream; what is sent has but one of them.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// event puts an event into the buffer, with all that the client has then as its id.
func (e *eventWriter) event(p fragment, list []fragment) {
	e.buf.WriteString("event: " + p.Name + "\nid: " + e.id(list) + "\n")
	data := p.Data
	if bytes.IndexByte(data, '\r') >= 0 {
		data = []byte(lineEnds.Replace(string(data)))
	}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		e.buf.WriteString("data: ")
		e.buf.Write(line)
		e.buf.WriteByte('\n')
	}
	e.buf.WriteByte('\n')
}

// id is eventID of what the client has.
func (e *eventWriter) id(list []fragment) string {
	has := make([]fragment, 0, len(list))
	for _, p := range list {
		if sum, ok := e.has[p.Name]; ok {
			has = append(has, fragment{Name: p.Name, sum: sum})
		}
	}
	return eventID(has)
}

// eventID is the sums of parts that a client has, so that nothing has to be remembered here of one that comes again. It is empty if that
// is too much, and all is sent then.
func eventID(has []fragment) string {
	var b strings.Builder
	for _, p := range has {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(p.Name + "=" + p.sum)
		if b.Len() > maxEventID {
			return ""
		}
	}
	return b.String()
}

// parseEventID reads what id made, or anything else that a client sends.
func parseEventID(id string) map[string]string {
	has := make(map[string]string)
	if len(id) > maxEventID {
		return has
	}
	for part := range strings.SplitSeq(id, ",") {
		if name, sum, ok := strings.Cut(part, "="); ok {
			has[name] = sum
		}
	}
	return has
}
