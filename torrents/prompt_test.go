package torrents

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// tcpDialer is the engine's, as far as it matters.
type tcpDialer struct{ net.Dialer }

func (d *tcpDialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return d.DialContext(ctx, "tcp", addr)
}

func (*tcpDialer) DialerNetwork() string { return "tcp" }

// TestPromptDialer asks somebody who sends the end of what he is asked for when the beginning is acknowledged.
func TestPromptDialer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can be asked not to put off acknowledgments")
	}
	const rounds, head, tail = 100, 100, 100
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answered := make(chan error, 1)
	go func() { answered <- answerInTwo(l, head, tail) }()
	c, err := promptDialer{&tcpDialer{}}.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	answer := make([]byte, 16<<10)
	for range rounds {
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAtLeast(c, answer, head+tail); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took > rounds*20*time.Millisecond { // put off, it would be 40 ms each
		t.Errorf("%d answers took %v", rounds, took)
	}
	if err := errors.Join(c.Close(), <-answered); err != nil {
		t.Error(err)
	}
}

// answerInTwo answers each byte of one connection, by two writes, with Nagle's algorithm.
func answerInTwo(l net.Listener, head, tail int) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetNoDelay(false); err != nil {
		return err
	}
	for {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		for _, n := range []int{head, tail} {
			if _, err := c.Write(make([]byte, n)); err != nil {
				return err
			}
		}
	}
}
