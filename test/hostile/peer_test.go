//go:build linux

package hostile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/torrents"
)

// Messages of the peer protocol (BEP 3, 5, 6, 10, 52).
const (
	msgChoke         = 0
	msgUnchoke       = 1
	msgInterested    = 2
	msgNotInterested = 3
	msgHave          = 4
	msgBitfield      = 5
	msgRequest       = 6
	msgPiece         = 7
	msgCancel        = 8
	msgPort          = 9
	msgSuggest       = 13
	msgHaveAll       = 14
	msgHaveNone      = 15
	msgReject        = 16
	msgAllowedFast   = 17
	msgExtended      = 20
	msgHashRequest   = 21
)

const blockSize = 16 << 10

// wire is a connection to a peer after the handshake.
type wire struct {
	net.Conn
	r *bufio.Reader
}

// peerIDs makes each connection another peer's, as the engine wants one of each.
var peerIDs atomic.Uint32

func handshake(conn net.Conn, ih torrents.Infohash) (*wire, error) {
	hello := append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x05"), ih[:]...)
	hello = append(hello, fmt.Sprintf("-XX0000-%012d", peerIDs.Add(1))...)
	w := &wire{conn, bufio.NewReaderSize(conn, 64<<10)}
	if _, err := conn.Write(hello); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(w.r, make([]byte, len(hello))); err != nil {
		return nil, err
	}
	return w, nil
}

// dial connects from an IP of the loopback net.
func dial(from, to string, ih torrents.Infohash) (*wire, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	conn, err := d.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	w, err := handshake(conn, ih)
	if err != nil {
		conn.Close()
	}
	return w, err
}

// encode makes a message.
func encode(kind byte, payload ...any) []byte {
	b := []byte{0, 0, 0, 0, kind}
	for _, p := range payload {
		switch p := p.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		case byte:
			b = append(b, p)
		case []byte:
			b = append(b, p...)
		case string:
			b = append(b, p...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (w *wire) send(kind byte, payload ...any) error {
	_, err := w.Write(encode(kind, payload...))
	return err
}

// receive returns the next message that is not empty.
func (w *wire) receive() (kind byte, payload []byte, err error) {
	for {
		var n uint32
		if err := binary.Read(w.r, binary.BigEndian, &n); err != nil {
			return 0, nil, err
		}
		if n > 1<<20 {
			return 0, nil, fmt.Errorf("message of %d bytes", n)
		}
		if n == 0 {
			continue
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(w.r, b); err != nil {
			return 0, nil, err
		}
		return b[0], b[1:], nil
	}
}

// block is a request.
type block struct{ piece, begin, length int }

func parseBlock(b []byte) (r block, ok bool) {
	if len(b) < 12 {
		return r, false
	}
	n := func(i int) int { return int(binary.BigEndian.Uint32(b[4*i:])) }
	return block{n(0), n(1), n(2)}, true
}

// source is a seeder of a film, of the smallest kind that there can be. It keeps account of what it sends.
type source struct {
	film *film
	addr string

	corrupt atomic.Bool  // send wrong bytes
	pause   atomic.Int64 // after each block, in nanoseconds
	sent    atomic.Int64 // bytes of data
	conns   atomic.Int64 // connections ever
	pex     atomic.Int64 // messages of BEP 11 that came
	dhtPort int          // of a node of the DHT with the same IP; 0 if there is none

	running sync.WaitGroup

	mu     sync.Mutex
	l      net.Listener
	open   map[net.Conn]bool
	pieces map[int]bool // that were sent, or a part of them
}

// startSource starts a seeder on an IP of the loopback net, or on an address with a port.
func startSource(t testing.TB, f *film, ip string) *source {
	t.Helper()
	s := &source{film: f, addr: ip, pieces: make(map[int]bool)}
	if _, _, err := net.SplitHostPort(ip); err != nil {
		s.addr = freeAddr(t, ip)
	}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *source) start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.l, s.open = l, make(map[net.Conn]bool)
	s.mu.Unlock()
	s.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			s.mu.Lock()
			if s.open == nil {
				conn.Close()
			} else {
				s.open[conn] = true
				s.running.Go(func() { s.serve(conn) })
			}
			s.mu.Unlock()
		}
	})
}

// stop ends it as a crash does. start may follow.
func (s *source) stop() {
	s.mu.Lock()
	s.l.Close()
	for conn := range s.open {
		conn.Close()
	}
	s.open = nil
	s.mu.Unlock()
	s.running.Wait()
}

func (s *source) serve(conn net.Conn) {
	defer conn.Close()
	w, err := handshake(conn, s.film.infohash)
	if err != nil {
		return
	}
	u := &upload{source: s, w: w, wake: make(chan struct{}, 1)}
	if w.send(msgHaveAll) != nil || w.send(msgExtended, byte(0), "d1:md6:ut_pexi5eee") != nil {
		return
	}
	if s.dhtPort != 0 && w.send(msgPort, byte(s.dhtPort>>8), byte(s.dhtPort)) != nil {
		return
	}
	var sending sync.WaitGroup
	done := make(chan struct{})
	sending.Go(func() { u.send(done) })
	u.read()
	close(done)
	conn.Close()
	sending.Wait()
	s.mu.Lock()
	delete(s.open, conn)
	s.mu.Unlock()
}

// distinct returns how many pieces were sent.
func (s *source) distinct() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pieces)
}

// upload is one connection of a source.
type upload struct {
	*source
	w    *wire
	wake chan struct{}

	mu      sync.Mutex
	waiting []block
	answer  [][]byte // other messages
}

// read takes requests until the connection ends.
func (u *upload) read() {
	for {
		kind, payload, err := u.w.receive()
		if err != nil {
			return
		}
		u.mu.Lock()
		switch b, ok := parseBlock(payload); {
		case kind == msgInterested:
			u.answer = append(u.answer, encode(msgUnchoke))
		case kind == msgExtended && len(payload) > 0 && payload[0] == 5:
			u.pex.Add(1)
		case kind == msgRequest && ok:
			u.waiting = append(u.waiting, b)
		case kind == msgCancel && ok:
			for i := range u.waiting {
				if u.waiting[i] == b {
					u.waiting = append(u.waiting[:i], u.waiting[i+1:]...)
					u.answer = append(u.answer, encode(msgReject, b.piece, b.begin, b.length))
					break
				}
			}
		}
		u.mu.Unlock()
		select {
		case u.wake <- struct{}{}:
		default:
		}
	}
}

// send answers until done is closed.
func (u *upload) send(done chan struct{}) {
	data := make([]byte, blockSize)
	for {
		u.mu.Lock()
		answer := u.answer
		u.answer = nil
		var b block
		if len(u.waiting) > 0 {
			b = u.waiting[0]
			u.waiting = u.waiting[1:]
		}
		u.mu.Unlock()
		for _, m := range answer {
			if _, err := u.w.Write(m); err != nil {
				return
			}
		}
		if b.length == 0 {
			select {
			case <-u.wake:
				continue
			case <-done:
				return
			}
		}
		if err := u.sendBlock(b, data[:min(b.length, blockSize)]); err != nil {
			return
		}
		if pause := u.pause.Load(); pause > 0 {
			select {
			case <-time.After(time.Duration(pause)):
			case <-done:
				return
			}
		}
	}
}

func (u *upload) sendBlock(b block, data []byte) error {
	u.film.read(int64(b.piece)*u.film.pieceLength+int64(b.begin), data)
	if u.corrupt.Load() {
		data[len(data)/2] ^= 1
	}
	u.source.mu.Lock()
	u.pieces[b.piece] = true
	u.source.mu.Unlock()
	err := u.w.send(msgPiece, b.piece, b.begin, data)
	if err == nil {
		u.sent.Add(int64(len(data)))
	}
	return err
}
