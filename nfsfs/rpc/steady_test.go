package rpc

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"
)

// TestSlowButSteady has a client receive a large reply in more time than it has for nothing at all.
func TestSlowButSteady(t *testing.T) {
	set(t, &writeTime, 500*time.Millisecond)
	const size = 8 << 20
	file, _ := fileOf(t, size)
	f := newTails(file)
	c := dial(t, start(t, "127.0.0.1:0", testOptions(t, procs{1: f.serve})))
	if err := c.conn.SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	c.send(1, rangeArgs(0, size))
	b := make([]byte, 64<<10)
	for total := 0; total < size; {
		n, err := io.ReadFull(c.conn, b)
		if total += n; err != nil {
			t.Fatalf("the end after %d bytes: %v", total, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestSendfileUnsupported sends a file that the kernel cannot send by itself.
func TestSendfileUnsupported(t *testing.T) {
	const size = 1000
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skipf("this machine has no such file: %v", err)
	}
	defer file.Close()
	f := newTails(file)
	c := dial(t, start(t, "127.0.0.1:0", testOptions(t, procs{1: f.serve})))
	got := c.expect(c.send(1, rangeArgs(0, size)))
	if len(got) < size || bytes.IndexByte(got, '-') < 0 {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if err := receive(t, f.ends); err != nil {
		t.Errorf("the file was sent with: %v", err)
	}
}
