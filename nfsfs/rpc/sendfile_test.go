package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"shoal/nfsfs/xdr"
)

// fileOf is a file of so many random bytes, and they.
func fileOf(t testing.TB, n int) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(content)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file, content
}

// tails is a procedure that answers with an opaque out of a file, as READ does. Its arguments are an
// offset and a length.
type tails struct {
	file   *os.File
	before func()
	ends   chan error // what done is told
}

func (f *tails) serve(call *Call, reply []byte) ([]byte, Status) {
	offset, length := binary.BigEndian.Uint32(call.Args), binary.BigEndian.Uint32(call.Args[4:])
	call.Tail(f.file, int64(offset), int(length), func(err error) { f.ends <- err })
	if f.before != nil {
		f.before()
	}
	return xdr.AppendUint32(reply, length), Success
}

func newTails(file *os.File) *tails { return &tails{file: file, ends: make(chan error, 100_000)} }

func rangeArgs(offset, length int) string { return string(words(uint32(offset), uint32(length))) }

// TestTail has all lengths up to 70,000 bytes, and longer ones, with other calls between.
func TestTail(t *testing.T) {
	const longest = 3 << 20
	file, content := fileOf(t, longest+100)
	f := newTails(file)
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: f.serve}))
	c := dial(t, s)
	if err := c.conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	lengths := []int{0, 1 << 20, 1<<20 - 1, 1<<20 + 3, longest, 0, 0, longest}
	step := 1
	if testing.Short() {
		step = 7
	}
	for n := 1; n <= 70_000; n += step {
		lengths = append(lengths, n)
	}
	const window = 64
	slots := make(chan struct{}, window)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		var b []byte
		for i, n := range lengths {
			b, _ = c.call(b, 2, rangeArgs(i%97, n))
			b, _ = c.call(b, 1, "between")
			slots <- struct{}{}
			if i%5 == 0 || len(slots) == window || i == len(lengths)-1 {
				_, _ = c.conn.Write(b)
				b = b[:0]
			}
		}
	}()
	reply := make([]byte, longest+100)
	for i, n := range lengths {
		reply = c.receiveInto(reply)
		_, result, err := ParseReply(reply)
		if err != nil || len(result) != 4+xdr.Padded(n) || binary.BigEndian.Uint32(result) != uint32(n) {
			t.Fatalf("a tail of %d bytes: %d bytes, %v", n, len(result), err)
		}
		want, padding := content[i%97:i%97+n], make([]byte, xdr.Padded(n)-n)
		if !bytes.Equal(result[4:4+n], want) || !bytes.Equal(result[4+n:], padding) {
			t.Fatalf("a tail of %d bytes is other bytes", n)
		}
		reply = c.receiveInto(reply)
		if _, result, err := ParseReply(reply); err != nil || string(result) != "between" {
			t.Fatalf("after a tail of %d bytes: %q, %v", n, result, err)
		}
		if err := receive(t, f.ends); err != nil {
			t.Fatalf("a tail of %d bytes: done is told %v", n, err)
		}
		<-slots
	}
	<-sent
	if len(f.ends) > 0 {
		t.Error("done is called twice")
	}
}

// receiveInto is receive without taking memory each time.
func (c *client) receiveInto(b []byte) []byte {
	c.t.Helper()
	b = b[:cap(b)]
	if _, err := io.ReadFull(c.in, b[:4]); err != nil {
		c.t.Fatal(err)
	}
	n := int(binary.BigEndian.Uint32(b) &^ lastFragment)
	if _, err := io.ReadFull(c.in, b[:n]); err != nil {
		c.t.Fatal(err)
	}
	return b[:n]
}

// TestTailOfSlowClient has a client take its time, so that the file is sent bit by bit, and the file be
// closed meanwhile.
func TestTailOfSlowClient(t *testing.T) {
	const length = 32 << 20
	file, content := fileOf(t, length)
	f := newTails(file)
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: f.serve}))
	c := dial(t, s)
	if err := c.conn.SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	b, _ := c.call(nil, 2, rangeArgs(0, length))
	b, after := c.call(b, 1, "after")
	c.write(b)
	head := make([]byte, 4+24+4)
	if _, err := io.ReadFull(c.in, head); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, length)
	if _, err := io.ReadFull(c.in, got[:1]); err != nil {
		t.Fatal(err)
	}
	// That it is there means that the sending has begun.
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	if len(f.ends) > 0 {
		t.Fatal("all was sent at once")
	}
	if _, err := io.ReadFull(c.in, got[1:]); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file comes as something else, %v", err)
	}
	if err := receive(t, f.ends); err != nil {
		t.Errorf("done is told %v", err)
	}
	if got := c.expect(after); string(got) != "after" {
		t.Errorf("afterwards: %q", got)
	}
}

// TestTailFails has files that cannot be sent. What comes of them must be followed by nothing, even if
// other calls are ready to be answered.
func TestTailFails(t *testing.T) {
	tests := []struct {
		what   string
		size   int // of the file, and that is less than what is asked for
		closed bool
		want   error
	}{
		{"shorter than it was", 10_000, false, io.ErrUnexpectedEOF},
		{"shorter than it was", 200_000, false, io.ErrUnexpectedEOF},
		{"closed", 10_000, true, nil},
		{"closed", 200_000, true, nil},
	}
	for _, test := range tests {
		for range 25 {
			file, content := fileOf(t, test.size)
			if test.closed {
				_ = file.Close()
				content = nil
			}
			got, err := failingTail(t, file, 2*test.size)
			// How much of it comes is nobody's business.
			const head = 4 + 24 + 4
			if n := len(got) - head; n > len(content) || n > 0 && !bytes.Equal(got[head:], content[:n]) {
				t.Fatalf("a file that is %s: %d bytes come, of which at most %d are its own", test.what, n, len(content))
			}
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("a file that is %s: done is told %v, want %v", test.what, err, test.want)
			}
		}
	}
}

// failingTail asks for so much of a file that is not all there, when other calls wait to be answered at
// that very moment. It returns what comes until the connection ends, and what done was told.
func failingTail(t *testing.T, file *os.File, length int) ([]byte, error) {
	t.Helper()
	w := newWaiter()
	f := newTails(file)
	tail := func(call *Call, reply []byte) ([]byte, Status) {
		b, status := f.serve(call, reply)
		done := call.tail.done
		call.tail.done = func(err error) {
			close(w.release)
			time.Sleep(time.Millisecond)
			done(err)
		}
		return b, status
	}
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: tail, 3: w.serve}))
	c := dial(t, s)
	for range 5 {
		c.send(3)
		receive(t, w.entered)
	}
	b, before := c.call(nil, 1, "before")
	b, _ = c.call(b, 2, rangeArgs(0, length))
	b, _ = c.call(b, 1, "after")
	c.write(b)
	if got := c.expect(before); string(got) != "before" {
		t.Errorf("before it: %q", got)
	}
	got := c.expectEnd()
	err := receive(t, f.ends)
	eventually(t, patience, "the connection ended", func() bool { return len(s.Connections()) == 0 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return got, err
}

// TestTailOfGoneClient has a client hang up, and the server close, while a file is sent.
func TestTailOfGoneClient(t *testing.T) {
	set(t, &closeTime, 300*time.Millisecond)
	file, _ := fileOf(t, 16<<20)
	f := newTails(file)
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: f.serve}))
	leaves, stays := dial(t, s), dial(t, s)
	for _, c := range []*client{leaves, stays} {
		if err := c.conn.SetReadBuffer(8192); err != nil {
			t.Fatal(err)
		}
		c.send(2, rangeArgs(0, 16<<20))
		if _, err := c.in.ReadByte(); err != nil {
			t.Fatal(err)
		}
	}
	_ = leaves.conn.Close()
	if err := receive(t, f.ends); err == nil {
		t.Error("done is not told that the client left")
	}
	closeWithin(t, s, closeTime+time.Second)
	if err := receive(t, f.ends); err == nil {
		t.Error("done is not told that the server closed")
	}
}

// TestTailOfCallThatWaited has a file sent as part of a reply that comes later.
func TestTailOfCallThatWaited(t *testing.T) {
	file, content := fileOf(t, 100_001)
	f := newTails(file)
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: func(call *Call, reply []byte) ([]byte, Status) {
		call.Later(func(context.Context) {}, func(call *Call, reply []byte) ([]byte, Status) {
			call.Args = words(0, uint32(len(content)))
			return f.serve(call, reply)
		})
		return reply, Deferred
	}}))
	c := dial(t, s)
	for range 20 {
		c.send(2)
	}
	for range 20 {
		_, result, err := ParseReply(c.receive())
		if err != nil || len(result) != 4+xdr.Padded(len(content)) || !bytes.Equal(result[4:4+len(content)], content) {
			t.Fatalf("%d bytes, %v", len(result), err)
		}
		if err := receive(t, f.ends); err != nil {
			t.Error(err)
		}
	}
	c.expect(c.send(1))
}

// TestTailWithoutResult has handlers fail after they named a file: it is given back, and not sent.
func TestTailWithoutResult(t *testing.T) {
	file, _ := fileOf(t, 1000)
	f := newTails(file)
	var deferred atomic.Int64
	with := func(then Answer) Answer {
		return func(call *Call, reply []byte) ([]byte, Status) {
			call.Tail(f.file, 0, 1000, func(err error) { f.ends <- err })
			return then(call, reply)
		}
	}
	fails := func(_ *Call, reply []byte) ([]byte, Status) { return append(reply, "some"...), GarbageArgs }
	panics := func(*Call, []byte) ([]byte, Status) { panic("on purpose") }
	drops := func(_ *Call, reply []byte) ([]byte, Status) { return reply, Dropped }
	defers := func(call *Call, reply []byte) ([]byte, Status) {
		call.Later(func(context.Context) {}, func(_ *Call, reply []byte) ([]byte, Status) {
			deferred.Add(1)
			return reply, Success
		})
		return reply, Deferred
	}
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: with(fails), 3: with(panics), 4: with(drops), 5: with(defers)}))
	c := dial(t, s)
	c.expectDenial(c.send(2), GarbageArgs)
	c.expectDenial(c.send(3), SystemError)
	c.send(4)
	if got := c.expect(c.send(5)); len(got) > 0 {
		t.Errorf("a call that waited is answered with %d bytes", len(got))
	}
	for range 4 {
		if err := receive(t, f.ends); err == nil {
			t.Error("done is told that the file was sent")
		}
	}
	if got := c.expect(c.send(1, "after")); string(got) != "after" || len(f.ends) > 0 {
		t.Errorf("afterwards: %q", got)
	}
}
