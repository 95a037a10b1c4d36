package outbound

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

func TestGroup(t *testing.T) {
	l, _ := listen(t)
	g := NewGroup()
	dial := g.Dial(dialer(Guard{AllowPrivate: true}).DialContext)
	one, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	two, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := two.Close(); err != nil {
		t.Error(err)
	}
	if len(g.conns) != 1 {
		t.Errorf("the group has %d connections, want the one that is open", len(g.conns))
	}
	ended := make(chan error, 1)
	go func() {
		_, err := one.Read(make([]byte, 1))
		ended <- err
	}()
	g.Close()
	g.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading ends with %v, want ErrClosed", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("reading does not end")
	}
	if _, err := dial(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dialling gives %v, want ErrClosed", err)
	}
}

// TestGroupDialing: a connection that is being made ends as well, one made a moment too late too.
func TestGroupDialing(t *testing.T) {
	g := NewGroup()
	began, ended := make(chan struct{}), make(chan error, 1)
	hang := g.Dial(func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	go func() {
		_, err := hang(context.Background(), "tcp", "x:1")
		ended <- err
	}()
	<-began
	g.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("dialling ends with %v, want ErrClosed", err)
	}
	inner, outer := net.Pipe()
	defer outer.Close()
	late := g.Dial(func(context.Context, string, string) (net.Conn, error) { return inner, nil })
	if _, err := late(t.Context(), "tcp", "x:1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a late connection gives %v, want ErrClosed", err)
	}
	if _, err := inner.Write([]byte("x")); err == nil {
		t.Error("a late connection stays open")
	}
}
