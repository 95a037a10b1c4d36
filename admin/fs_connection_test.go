package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/torrents"
	"shoal/tree"
)

// pipes is a listener of connections within the process, which synctest understands.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// connect serves the site with the times that cmd has, and returns a connection to it. It is for within a synctest bubble.
func (s *fsSite) connect(t *testing.T) net.Conn {
	t.Helper()
	listener := &pipes{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	client, conn := net.Pipe()
	listener.conns <- conn
	t.Cleanup(func() {
		client.Close()
		if err := server.Shutdown(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("shut down: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
		synctest.Wait()
	})
	return client
}

func request(t *testing.T, c net.Conn, target string, header ...string) {
	t.Helper()
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: shoal\r\nAuthorization: Bearer %s\r\n%s\r\n", target, testToken, strings.Join(header, ""))
	if err != nil {
		t.Fatal(err)
	}
}

// TestFSWaitsAndSlowClients: neither peers nor clients that are slow are cut off by the server's times, and the connection is good for more.
func TestFSWaitsAndSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := make(chan struct{})
		data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
		content := &fakeContent{data: data, waits: true, wait: wait}
		s := newFSSite(t, map[string]tree.Content{"x.mkv": content, "y.mkv": text(hello)})
		c := s.connect(t)
		request(t, c, "/fs/films/t/x.mkv")
		time.AfterFunc(time.Hour, func() { close(wait) })
		answer, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for { // 64 KiB each 20 minutes
			n, err := io.CopyN(&got, answer.Body, 64<<10)
			if err != nil || n == 0 || got.Len() == len(data) {
				break
			}
			time.Sleep(20 * time.Minute)
		}
		if !bytes.Equal(got.Bytes(), data) {
			t.Fatalf("read were %d bytes, want %d", got.Len(), len(data))
		}
		answer.Body.Close()
		synctest.Wait()
		request(t, c, "/fs/films/t/y.mkv")
		again, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Body.Close()
		if b, err := io.ReadAll(again.Body); err != nil || string(b) != hello {
			t.Errorf("then %q is read, %v", b, err)
		}
	})
}

// TestFSHangUp: who is gone waits no more, also if he sent a body that nobody wants.
func TestFSHangUp(t *testing.T) {
	for name, header := range map[string]string{"plain": "", "body": "Content-Length: 3\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				content := &fakeContent{data: []byte(hello), waits: true, gone: make(chan error, 1)}
				s := newFSSite(t, map[string]tree.Content{"x.mkv": content})
				c := s.connect(t)
				request(t, c, "/fs/films/t/x.mkv", header)
				if header != "" {
					if _, err := io.WriteString(c, "abc"); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Hour)
				select {
				case err := <-content.gone:
					t.Fatalf("the wait ended while the client was there: %v", err)
				default:
				}
				begin := time.Now()
				c.Close()
				if err := <-content.gone; !errors.Is(err, context.Canceled) || time.Since(begin) > time.Second {
					t.Errorf("the wait ended %v after the client was gone, by %v", time.Since(begin), err)
				}
			})
		})
	}
}

// TestFSIdleClient: who takes nothing does not keep his place for ever.
func TestFSIdleClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFSSite(t, map[string]tree.Content{"x.mkv": &fakeContent{data: make([]byte, 1<<20)}})
		c := s.connect(t)
		request(t, c, "/fs/films/t/x.mkv")
		time.Sleep(writeTime + time.Second)
		b, _ := io.ReadAll(c) // what was on its way may be lost
		if len(b) >= 1<<20 {
			t.Errorf("after %v without reading %d bytes come", writeTime, len(b))
		}
	})
}

// TestFSFailsMidway: the client sees that it does not have all.
func TestFSFailsMidway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := &fakeContent{data: make([]byte, 1<<20), err: torrents.ErrGaveUp, failAt: 500_000}
		s := newFSSite(t, map[string]tree.Content{"x.mkv": content})
		c := s.connect(t)
		request(t, c, "/fs/films/t/x.mkv")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		n, err := io.Copy(io.Discard, answer.Body)
		if !errors.Is(err, io.ErrUnexpectedEOF) || n < 400_000 || n > 600_000 || answer.StatusCode != http.StatusOK {
			t.Errorf("status %d, %d bytes, then %v, want them to end too early", answer.StatusCode, n, err)
		}
		if !strings.Contains(s.log.String(), torrents.ErrGaveUp.Error()) {
			t.Errorf("the log is %q, want the reason", s.log)
		}
	})
}

// TestFSReadersAreForgotten: a reader is one for a minute, and thousands are not kept.
func TestFSReadersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFSSite(t, map[string]tree.Content{"x.mkv": text(hello)})
		node, err := s.tree.Walk(t.Context(), "films", "t", "x.mkv")
		if err != nil {
			t.Fatal(err)
		}
		var f fsReaders
		for i := range maxFSReaders + 10 {
			f.read(readerKey{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), node}, 0, 1)
			time.Sleep(time.Millisecond)
		}
		list := f.list(s.tree)
		if len(list) != maxFSReaders {
			t.Errorf("%d readers are kept, want %d", len(list), maxFSReaders)
		}
		for _, r := range list {
			if r.Client == netip.MustParseAddr("10.0.0.9") {
				t.Error("the reader that was silent longest is kept")
			}
		}
		time.Sleep(2*readerTime + time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.accounts) != 0 || f.sweeping {
			t.Errorf("after two minutes %d readers are kept", len(f.accounts))
		}
	})
}
