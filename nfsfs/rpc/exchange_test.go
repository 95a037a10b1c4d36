package rpc

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var echoHeader = Header{Program: testProgram, Version: testVersion, Proc: 1}

// exchangeConns are a connection of each kind to a server.
func exchangeConns(t *testing.T, s *Server) map[string]net.Conn {
	t.Helper()
	conns := make(map[string]net.Conn)
	for _, network := range []string{"tcp", "udp"} {
		conn, err := net.Dial(network, s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns[network] = conn
	}
	return conns
}

func TestExchange(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for network, conn := range exchangeConns(t, s) {
		for range 3 {
			if got, err := Exchange(ctx, conn, echoHeader, []byte("arguments")); err != nil || string(got) != "arguments" {
				t.Errorf("%s: %q, %v", network, got, err)
			}
		}
		for what, h := range map[string]Header{
			"another program":   {Program: 1},
			"another version":   {Program: testProgram, Version: 99},
			"another procedure": {Program: testProgram, Version: testVersion, Proc: 99},
			"a bad credential":  {Program: testProgram, Version: testVersion, Flavor: 6},
		} {
			if got, err := Exchange(ctx, conn, h, nil); err == nil {
				t.Errorf("%s, %s: %q and no error", network, what, got)
			}
		}
		if got, err := Exchange(ctx, conn, echoHeader, []byte("again")); err != nil || string(got) != "again" {
			t.Errorf("%s, after errors: %q, %v", network, got, err)
		}
	}
}

// TestExchangeEndsWithContext has no reply come.
func TestExchangeEndsWithContext(t *testing.T) {
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: w.serve}))
	cause := errors.New("on purpose")
	for network, conn := range exchangeConns(t, s) {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { receive(t, w.entered); cancel(cause) }()
		began := time.Now()
		got, err := Exchange(ctx, conn, echoHeader, nil)
		if took := time.Since(began); !errors.Is(err, cause) || took > resend+time.Second {
			t.Errorf("%s: %q, %v after %v", network, got, err, took)
		}
		// And one that ended before.
		if got, err := Exchange(ctx, conn, echoHeader, nil); !errors.Is(err, cause) {
			t.Errorf("%s, once more: %q, %v; want %v", network, got, err, cause)
		}
	}
}

// TestExchangeOverUnixSocket has a connection that could be one of packets, and is not.
func TestExchangeOverUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		b, err := ReadRecord(conn, 1000)
		if err == nil {
			h, args, _ := parseCall(b)
			err = WriteRecord(conn, append(appendReply(nil, h.XID, Success, 0, 0), args...))
		}
		served <- err
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := Exchange(ctx, conn, echoHeader, []byte("arguments")); err != nil || string(got) != "arguments" {
		t.Errorf("%q, %v", got, err)
	}
	if err := receive(t, served); err != nil {
		t.Error(err)
	}
}

// TestExchangeOverLossyNetwork has datagrams be lost, late, doubled, and not what they should be.
func TestExchangeOverLossyNetwork(t *testing.T) {
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1000)
		for calls := 1; ; calls++ {
			n, client, err := server.ReadFromUDP(b)
			if err != nil {
				return
			}
			if calls == 1 {
				continue // lost
			}
			h, args, _ := parseCall(b[:n])
			reply := func(xid uint32, result string) {
				_, _ = server.WriteToUDP(append(appendReply(nil, xid, Success, 0, 0), result...), client)
			}
			reply(h.XID+1, "late")
			_, _ = server.WriteToUDP([]byte("rubbish"), client)
			_, _ = server.WriteToUDP(nil, client)
			_, _ = server.WriteToUDP(b[:n], client)
			reply(h.XID, string(args))
			reply(h.XID, string(args))
		}
	}()
	defer func() { _ = server.Close(); <-done }()
	conn, err := net.Dial("udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, args := range []string{"one", "two", "three"} {
		if got, err := Exchange(ctx, conn, echoHeader, []byte(args)); err != nil || string(got) != args {
			t.Errorf("%q, %v; want %q", got, err, args)
		}
	}
}

func TestExchangeWithNobody(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, nil))
	conns := exchangeConns(t, s)
	_ = s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for network, conn := range conns {
		began := time.Now()
		_, err := Exchange(ctx, conn, echoHeader, nil)
		if took := time.Since(began); err == nil || took > patience/2 {
			t.Errorf("%s: %v after %v", network, err, took)
		}
		if network == "udp" && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want %v", network, err, syscall.ECONNREFUSED)
		}
	}
}

// TestExchangeTakesNoLongReply has a reply that is longer than any of the programs that are asked.
func TestExchangeTakesNoLongReply(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: flood}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn := exchangeConns(t, s)["tcp"]
	if got, err := Exchange(ctx, conn, echoHeader, []byte(strings.Repeat("x", 100))); !errors.Is(err, ErrRecord) {
		t.Errorf("%d bytes, %v; want %v", len(got), err, ErrRecord)
	}
}
