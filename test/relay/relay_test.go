//go:build linux

package relay

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dsl is the link that the benchmarks use: 100 Mbit/s.
var dsl = Link{Rate: 12_500_000, Delay: 20 * time.Millisecond, Queue: 384 << 10}

// connect returns both ends of a connection through a new relay.
func connect(t *testing.T, link Link) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := Start(link, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if client, err = net.Dial("tcp4", r.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	for _, c := range []net.Conn{client, server} {
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return client, server
}

// TestRate wants what TCP gets through the link, and all of it in order, in either direction.
func TestRate(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds of the clock")
	}
	for _, tt := range []struct {
		name string
		ends func(client, server net.Conn) (from, to net.Conn)
	}{
		{"down", func(client, server net.Conn) (from, to net.Conn) { return server, client }},
		{"up", func(client, server net.Conn) (from, to net.Conn) { return client, server }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, to := tt.ends(connect(t, dsl))
			sent := make([]byte, 2*dsl.Rate)
			_, _ = rand.NewChaCha8([32]byte{}).Read(sent) // has no error
			failed := make(chan error, 1)
			go func() {
				_, err := from.Write(sent)
				failed <- err
			}()
			got := make([]byte, len(sent))
			first := 1 << 20 // the delay is not of the rate
			if _, err := io.ReadFull(to, got[:first]); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if _, err := io.ReadFull(to, got[first:]); err != nil {
				t.Fatal(err)
			}
			rate := float64(len(got)-first) / time.Since(start).Seconds()
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, sent) {
				t.Error("other bytes came than were sent")
			}
			if part := rate / float64(dsl.Rate); part < 0.95 || part > 1.02 {
				t.Errorf("TCP gets %.3f of the rate through the link", part)
			} else {
				t.Logf("%.3f of the rate", part)
			}
		})
	}
}

// TestDelay wants a round trip to take the delay of both ways, and no more than TCP's own beside it.
func TestDelay(t *testing.T) {
	client, server := connect(t, dsl)
	go func() { _, _ = io.Copy(server, server) }()
	var times []time.Duration
	for range 11 {
		start := time.Now()
		if _, err := client.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	t.Logf("round trips: %v", times)
	if times[0] < 2*dsl.Delay {
		t.Errorf("a round trip takes %v, less than twice %v", times[0], dsl.Delay)
	}
	if middle := times[len(times)/2]; middle > 2*dsl.Delay+10*time.Millisecond {
		t.Errorf("a round trip takes %v", middle)
	}
}

// TestQueue wants a sender to be held up when what it has sent fills the queue: whoever wants something
// else has to wait for what is on the way. And the other direction is not in the way.
func TestQueue(t *testing.T) {
	client, server := connect(t, dsl)
	if err := server.(*net.TCPConn).SetWriteBuffer(buffer); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	const block = 1 << 10
	go func() {
		b := make([]byte, block)
		for err := error(nil); err == nil; _, err = server.Write(b) {
			binary.LittleEndian.PutUint64(b, uint64(time.Since(start)))
		}
	}()
	var ages []time.Duration
	for b := make([]byte, block); time.Since(start) < time.Second; {
		if _, err := io.ReadFull(client, b); err != nil {
			t.Fatal(err)
		}
		ages = append(ages, time.Since(start)-time.Duration(binary.LittleEndian.Uint64(b)))
	}
	slices.Sort(ages)
	// Beside the queue there are the buffers of the sender and the relay, each of twice its size.
	least := dsl.Delay + dsl.takes(dsl.Queue)/2
	most := dsl.Delay + dsl.takes(dsl.Queue+4*buffer) + 20*time.Millisecond
	middle := ages[len(ages)/2]
	t.Logf("data is %v old when it arrives", middle)
	if middle < least || middle > most {
		t.Errorf("data is %v old when it arrives, not %v to %v", middle, least, most)
	}
	up := time.Now()
	if _, err := client.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(up); took > dsl.Delay+20*time.Millisecond {
		t.Errorf("a byte upwards takes %v while the other direction is full", took)
	}
}

// TestEnd wants an end on one side to be seen on the other, after the data.
func TestEnd(t *testing.T) {
	client, server := connect(t, Link{Rate: 1 << 20, Delay: time.Millisecond, Queue: 64 << 10})
	if _, err := server.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "the end" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStartRefuses(t *testing.T) {
	for _, link := range []Link{{}, {Rate: 1}, {Rate: 1, Queue: 1 << 20, Delay: -1}} {
		if r, err := Start(link, "127.0.0.1:1"); err == nil {
			t.Errorf("%+v: no error", link)
			_ = r.Close()
		}
	}
}
