package rpc

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// benchOptions are those of a server that is not watched.
func benchOptions(b *testing.B, p procs) Options {
	opts := testOptions(b, p)
	opts.Logger = slog.New(slog.DiscardHandler)
	return opts
}

// BenchmarkCalls measures small calls, 64 at a time on each connection, as a client makes them: when a
// reply comes, the next call goes out. The size is that of a GETATTR.
func BenchmarkCalls(b *testing.B) {
	for _, clients := range []int{1, 4} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			benchmarkCalls(b, clients, 64)
		})
	}
	b.Run("1 at a time", func(b *testing.B) { benchmarkCalls(b, 1, 1) })
}

func benchmarkCalls(b *testing.B, clients, window int) {
	attr := make([]byte, 88)
	s := start(b, "127.0.0.1:0", benchOptions(b, procs{1: func(_ *Call, reply []byte) ([]byte, Status) {
		return append(reply, attr...), Success
	}}))
	credential := sysCredential("a-client.example.org", 1000, 1000, 4, 24, 27)
	h := Header{Program: testProgram, Version: testVersion, Proc: 1, Flavor: AuthSys, Credential: credential}
	call := record(append(AppendCall(nil, h), make([]byte, 36)...))
	const reply = 4 + 24 + 88
	b.ReportAllocs()
	b.ResetTimer()
	done := make(chan error, clients)
	for i := range clients {
		n := b.N / clients
		if i == 0 {
			n += b.N % clients
		}
		go func() { done <- benchmarkClient(s, call, reply, n, window) }()
	}
	for range clients {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// benchmarkClient makes n calls. It sends as many as it got replies with one read.
func benchmarkClient(s *Server, call []byte, reply, n, window int) error {
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	batch := bytes.Repeat(call, window)
	in := make([]byte, 64<<10)
	sent, received := min(n, window), 0 // the latter in bytes
	if _, err := conn.Write(batch[:sent*len(call)]); err != nil {
		return err
	}
	for received < n*reply {
		got, err := conn.Read(in)
		if err != nil {
			return err
		}
		received += got
		if more := min(n, received/reply+window) - sent; more > 0 {
			if _, err := conn.Write(batch[:more*len(call)]); err != nil {
				return err
			}
			sent += more
		}
	}
	return nil
}

// BenchmarkTail measures replies that end with so many bytes of a file, 8 at a time.
func BenchmarkTail(b *testing.B) {
	file, _ := fileOf(b, 64<<20)
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%d KiB", size>>10), func(b *testing.B) {
			offset := 0
			s := start(b, "127.0.0.1:0", benchOptions(b, procs{1: func(call *Call, reply []byte) ([]byte, Status) {
				offset = (offset + size) % (32 << 20)
				call.Tail(file, int64(offset), size, func(error) {})
				return append(reply, 0, 0, 0, 0), Success
			}}))
			c := dial(b, s)
			if err := c.conn.SetDeadline(time.Time{}); err != nil {
				b.Fatal(err)
			}
			call, _ := c.call(nil, 1)
			const window = 8
			head := 4 + 24 + 4
			b.SetBytes(int64(size))
			sent := 0
			in := make([]byte, head+size)
			for b.Loop() {
				for ; sent < window; sent++ {
					c.write(call)
				}
				if _, err := io.ReadFull(c.conn, in); err != nil {
					b.Fatal(err)
				}
				sent--
			}
			for ; sent > 0; sent-- {
				if _, err := io.ReadFull(c.conn, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAnswer measures what answering takes without the network.
func BenchmarkAnswer(b *testing.B) {
	attr := make([]byte, 88)
	s := &Server{opts: benchOptions(b, procs{1: func(_ *Call, reply []byte) ([]byte, Status) {
		return append(reply, attr...), Success
	}})}
	h := Header{Program: testProgram, Version: testVersion, Proc: 1, Flavor: AuthSys, Credential: sysCredential("a-client.example.org", 1000, 1000, 4, 24, 27)}
	call := append(AppendCall(nil, h), make([]byte, 36)...)
	out := make([]byte, 0, 1000)
	var state Call
	b.ReportAllocs()
	for b.Loop() {
		state = Call{Allowed: true, Began: time.Now()}
		if _, status, err := s.answer(&state, call, out); err != nil || status != Success {
			b.Fatal(status, err)
		}
	}
}
