package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"
)

// fragment is b as a fragment of a record.
func fragment(last bool, b string) string {
	mark := uint32(len(b))
	if last {
		mark |= lastFragment
	}
	return string(binary.BigEndian.AppendUint32(nil, mark)) + b
}

// recordTests are streams that begin with a record, for a limit of 10 bytes.
var recordTests = []struct {
	what, stream, want string
	err                error
}{
	{"one fragment", fragment(true, "hello"), "hello", nil},
	{"three fragments", fragment(false, "he") + fragment(false, "ll") + fragment(true, "o"), "hello", nil},
	{"an empty last fragment", fragment(false, "hello") + fragment(true, ""), "hello", nil},
	{"empty", fragment(true, ""), "", nil},
	{"as long as allowed", fragment(true, "0123456789"), "0123456789", nil},
	{"as long as allowed together", fragment(false, "01234") + fragment(true, "56789"), "0123456789", nil},
	{"too long", fragment(true, "0123456789a"), "", ErrRecord},
	{"too long together", fragment(false, "012345") + fragment(true, "6789a"), "", ErrRecord},
	{"a last length of 2^31-1", "\xff\xff\xff\xff", "", ErrRecord},
	{"a length of 2^31-1", "\x7f\xff\xff\xff", "", ErrRecord},
	{"a length of 2^31-1 after a fragment", fragment(false, "a") + "\xff\xff\xff\xff", "", ErrRecord},
	{"an empty fragment", fragment(false, "") + fragment(true, "x"), "", ErrRecord},
	{"an empty fragment later", fragment(false, "a") + fragment(false, "") + fragment(true, "x"), "", ErrRecord},
	{"nothing", "", "", io.EOF},
	{"part of a mark", "\x80\x00", "", io.ErrUnexpectedEOF},
	{"cut off", fragment(true, "hello")[:7], "", io.ErrUnexpectedEOF},
	{"cut off in the second fragment", fragment(false, "hello") + fragment(true, "world")[:6], "", io.ErrUnexpectedEOF},
}

func TestReadRecord(t *testing.T) {
	for _, test := range recordTests {
		for name, r := range map[string]io.Reader{
			"whole":         strings.NewReader(test.stream),
			"byte for byte": iotest.OneByteReader(strings.NewReader(test.stream)),
		} {
			got, err := ReadRecord(r, 10)
			if string(got) != test.want || !errors.Is(err, test.err) {
				t.Errorf("%s, %s: %q, %v; want %q, %v", test.what, name, got, err, test.want, test.err)
			}
		}
	}
}

func TestReadRecordWithoutLastFragment(t *testing.T) {
	got, err := ReadRecord(strings.NewReader(fragment(false, "hello")), 10)
	if got != nil || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v; want the end of the stream", got, err)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 4, 64 << 10, 200_000} {
		want := bytes.Repeat([]byte{7}, n)
		var buf bytes.Buffer
		if err := WriteRecord(&buf, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadRecord(&buf, 1<<20)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes come back as %d, %v", n, len(got), err)
		}
	}
}

// TestReadRecordTakesMemoryForData has a megabyte promised, and none of it sent.
func TestReadRecordTakesMemoryForData(t *testing.T) {
	stream := binary.BigEndian.AppendUint32(nil, lastFragment|1<<20)
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ReadRecord(bytes.NewReader(stream), 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
				b.Fatal(err)
			}
		}
	})
	if n := result.AllocedBytesPerOp(); n > 256<<10 {
		t.Errorf("%d bytes were taken for none that came", n)
	}
}

// tcpPair is a connection.
func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	two, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = one.Close(); _ = two.Close() })
	return one.(*net.TCPConn), two.(*net.TCPConn)
}

// pipeEnd is one end of a pipe that takes deadlines even when the other is closed, as TCP does.
type pipeEnd struct{ net.Conn }

func (p pipeEnd) SetReadDeadline(t time.Time) error {
	if err := p.Conn.SetReadDeadline(t); !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return nil
}

func newPipe() (a, b net.Conn) {
	a, b = net.Pipe()
	return pipeEnd{a}, pipeEnd{b}
}

func testReader(conn net.Conn, limit int) *reader {
	return newReader(conn, readerOptions{limit: limit, wait: patience, large: semaphore.NewWeighted(maxLarge)})
}

// feed writes a stream in pieces, and then closes the connection.
func feed(conn net.Conn, stream []byte, piece func() int) {
	defer conn.Close()
	for len(stream) > 0 {
		n := min(len(stream), piece())
		if _, err := conn.Write(stream[:n]); err != nil {
			return // the reader has seen enough
		}
		stream = stream[n:]
	}
}

// each calls the test with readers of a stream: from a pipe, which passes on each write as it is, and
// from a TCP connection, in pieces of several sizes.
func each(t *testing.T, stream []byte, limit int, test func(t *testing.T, how string, r *reader)) {
	t.Helper()
	pieces := map[string]func() int{
		"whole":             func() int { return max(len(stream), 1) },
		"byte for byte":     func() int { return 1 },
		"in buffers":        func() int { return bufferSize },
		"in pieces":         func() int { return 1 + rand.IntN(5000) },
		"in smaller pieces": func() int { return 1 + rand.IntN(50) },
	}
	for how, piece := range pieces {
		if how == "byte for byte" && len(stream) > 100_000 {
			continue // it takes too long
		}
		pipe, tcp := make([]net.Conn, 2), make([]net.Conn, 2)
		pipe[0], pipe[1] = newPipe()
		tcp[0], tcp[1] = tcpPair(t)
		for kind, ends := range map[string][]net.Conn{"pipe": pipe, "TCP": tcp} {
			done := make(chan struct{})
			go func() { defer close(done); feed(ends[0], stream, piece) }()
			test(t, how+" over "+kind, testReader(ends[1], limit))
			_ = ends[1].Close()
			<-done
		}
	}
}

// next returns a copy of the next record.
func next(r *reader) (got []byte, err error) {
	err = r.next(context.Background(), func(b []byte) error {
		got = append([]byte{}, b...)
		return nil
	})
	return got, err
}

func TestReader(t *testing.T) {
	for _, test := range recordTests {
		each(t, []byte(test.stream), 10, func(t *testing.T, how string, r *reader) {
			got, err := next(r)
			if string(got) != test.want || !errors.Is(err, test.err) {
				t.Errorf("%s, %s: %q, %v; want %q, %v", test.what, how, got, err, test.want, test.err)
			}
		})
	}
}

// TestReaderOfManyRecords has records of all sizes around those that matter, of one fragment or more,
// so that they begin and end anywhere in the buffer.
func TestReaderOfManyRecords(t *testing.T) {
	const limit = 3 * bufferSize
	random := rand.New(rand.NewPCG(1, 2))
	sizes := []int{
		0, 1, 3, 4, 5, 100, bufferSize - 9, bufferSize - 5, bufferSize - 4, bufferSize - 3, bufferSize - 1,
		bufferSize, bufferSize + 1, 2 * bufferSize, limit - 1, limit,
	}
	for range 300 {
		sizes = append(sizes, random.IntN(1000))
	}
	random.Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
	var stream []byte
	var want [][]byte
	for i, n := range sizes {
		b := make([]byte, n)
		for j := range b {
			b[j] = byte(random.Uint32())
		}
		want = append(want, b)
		if i%10 == 0 && n > 1 {
			cut := 1 + random.IntN(n-1)
			stream = append(stream, fragment(false, string(b[:cut]))...)
			b = b[cut:]
		}
		stream = append(stream, fragment(true, string(b))...)
	}
	each(t, stream, limit, func(t *testing.T, how string, r *reader) {
		for i := range want {
			got, err := next(r)
			if err != nil || !bytes.Equal(got, want[i]) {
				t.Fatalf("%s: record %d of %d bytes comes as %d bytes, %v", how, i, len(want[i]), len(got), err)
			}
		}
		if _, err := next(r); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want the end", how, err)
		}
	})
}

func TestReaderOfRecordsAtTheLimit(t *testing.T) {
	for _, limit := range []int{maxStrangerRecord, maxRecord} {
		b := strings.Repeat("x", limit+1)
		for what, stream := range map[string]string{
			"one fragment":  fragment(true, b[1:]),
			"two fragments": fragment(false, b[:limit/3]) + fragment(true, b[limit/3:limit]),
		} {
			if got, err := next(testReader(pipeOf(t, stream), limit)); err != nil || len(got) != limit {
				t.Errorf("%d bytes in %s: %d bytes, %v", limit, what, len(got), err)
			}
		}
		if _, err := next(testReader(pipeOf(t, fragment(true, b)), limit)); !errors.Is(err, ErrRecord) {
			t.Errorf("%d bytes: %v, want %v", limit+1, err, ErrRecord)
		}
	}
}

// pipeOf is a connection from which a stream comes.
func pipeOf(t testing.TB, stream string) net.Conn {
	a, b := newPipe()
	done := make(chan struct{})
	go func() { defer close(done); feed(a, []byte(stream), func() int { return len(stream) }) }()
	t.Cleanup(func() { _ = b.Close(); <-done })
	return b
}

// TestReaderReady has ready say so for whole records in the buffer, and for nothing else.
func TestReaderReady(t *testing.T) {
	tests := []struct {
		what, rest string
		want       bool
	}{
		{"nothing", "", false},
		{"half a mark", "\x80\x00", false},
		{"a mark", "\x80\x00\x00\x01", false},
		{"all but a byte", fragment(true, "hello")[:8], false},
		{"a record", fragment(true, "hello"), true},
		{"an empty record", fragment(true, ""), true},
		{"a record and part of another", fragment(true, "hello") + "\x80", true},
		{"the first fragment of two", fragment(false, "hello"), false},
		{"two fragments", fragment(false, "hello") + fragment(true, "hello"), false},
		{"one that is too long", "\xff\xff\xff\xff" + strings.Repeat("x", 200), false},
	}
	for _, test := range tests {
		r := testReader(pipeOf(t, fragment(true, "first")+test.rest), 100)
		if _, err := next(r); err != nil {
			t.Fatal(err)
		}
		if got := r.ready(); got != test.want {
			t.Errorf("%s: ready is %v, want %v", test.what, got, test.want)
		}
	}
}

// TestReaderEndsSlowRecords has records that begin, go on byte by byte, and do not end.
func TestReaderEndsSlowRecords(t *testing.T) {
	long := fragment(true, strings.Repeat("x", 50_000))
	for what, stream := range map[string]string{
		"half a mark":                  "\x80\x00",
		"half a record":                fragment(true, "hello")[:7],
		"half a record of fragments":   fragment(false, "hello") + "\x80",
		"half a record that is longer": long[:30_000],
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = client.Write([]byte(stream[:len(stream)-1]))
				for range 100 {
					select {
					case <-stop:
						return
					case <-time.After(12 * time.Second):
						_, _ = client.Write([]byte(stream[len(stream)-1:]))
						stream = "\x00"
					}
				}
			}()
			r := newReader(server, readerOptions{limit: 100_000, wait: recordTime, large: semaphore.NewWeighted(maxLarge)})
			began := time.Now()
			_, err := next(r)
			if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took != recordTime {
				t.Errorf("%s: %v after %v, want a timeout after %v", what, err, took, recordTime)
			}
			close(stop)
			_ = client.Close()
			<-done
		})
	}
}

// TestReaderIdle has connections on which nothing comes for long, or more within the time.
func TestReaderIdle(t *testing.T) {
	for _, idle := range []time.Duration{0, 5 * time.Minute, 3 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			records := 0 // with an idle time of 3 minutes, it is busy until there were three
			r := newReader(server, readerOptions{
				limit: 100, wait: recordTime, idle: idle, large: semaphore.NewWeighted(maxLarge),
				busy: func() bool { return records < 3 },
			})
			go func() {
				defer client.Close()
				for range 3 {
					time.Sleep(4 * time.Minute)
					_, _ = client.Write([]byte(fragment(true, "hello")))
				}
				time.Sleep(24 * time.Hour)
			}()
			for ; records < 3; records++ {
				if _, err := next(r); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			_, err := next(r)
			want, wantErr := idle, os.ErrDeadlineExceeded
			if idle == 0 {
				want, wantErr = 24*time.Hour, io.EOF
			}
			if took := time.Since(began); took != want || !errors.Is(err, wantErr) {
				t.Errorf("with an idle time of %v: %v after %v, want %v after %v", idle, err, took, wantErr, want)
			}
			time.Sleep(24 * time.Hour) // let the client end
		})
	}
}

// TestReaderShareOfLongRecords has readers share the memory for one long record.
func TestReaderShareOfLongRecords(t *testing.T) {
	const limit = 100_000
	large := semaphore.NewWeighted(limit)
	synctest.Test(t, func(t *testing.T) {
		open := func() (*reader, net.Conn) {
			client, server := net.Pipe()
			go func() { _, _ = client.Write([]byte(fragment(true, strings.Repeat("x", limit)))) }()
			t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
			return newReader(server, readerOptions{limit: limit, wait: recordTime, large: large}), client
		}
		release := make(chan struct{})
		first, _ := open()
		go func() {
			_ = first.next(t.Context(), func([]byte) error { <-release; return nil })
		}()
		synctest.Wait()

		late, _ := open()
		began := time.Now()
		_, err := next(late)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != shareTime {
			t.Errorf("without a share: %v after %v, want %v after %v", err, took, context.DeadlineExceeded, shareTime)
		}

		stopped, _ := open()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := stopped.next(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("when the context ends: %v, want %v", err, context.Canceled)
		}

		second, _ := open()
		time.AfterFunc(time.Second, func() { close(release) })
		began = time.Now()
		got, err := next(second)
		if took := time.Since(began); err != nil || len(got) != limit || took != time.Second {
			t.Errorf("when there is a share after a second: %d bytes, %v after %v", len(got), err, took)
		}
	})
	if !large.TryAcquire(limit) {
		t.Error("a share was not given back")
	}
}

func FuzzReadRecord(f *testing.F) {
	for _, test := range recordTests {
		f.Add([]byte(test.stream), uint16(3))
	}
	f.Add([]byte(fragment(true, "a")+fragment(true, "b")+fragment(false, "c")), uint16(1))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint16) {
		const limit = 100
		// The two ways of reading have to agree.
		var want [][]byte
		var wantErr error
		for s := bytes.NewReader(stream); wantErr == nil; {
			var b []byte
			if b, wantErr = ReadRecord(s, limit); wantErr == nil {
				want = append(want, b)
			}
			if len(b) > min(limit, len(stream)) {
				t.Fatalf("%d bytes out of %d", len(b), len(stream))
			}
		}
		conn := &streamConn{r: bytes.NewReader(stream), piece: int(piece) + 1}
		r := testReader(conn, limit)
		for i := 0; ; i++ {
			got, err := next(r)
			if (err == nil) != (i < len(want)) || err == nil && !bytes.Equal(got, want[i]) {
				t.Fatalf("record %d: %q, %v; want one of %q, %v", i, got, err, want, wantErr)
			}
			if err != nil {
				if errors.Is(err, ErrRecord) != errors.Is(wantErr, ErrRecord) {
					t.Fatalf("%v, want %v", err, wantErr)
				}
				return
			}
		}
	})
}

// streamConn is a connection of which only the reading matters.
type streamConn struct {
	net.Conn
	r     io.Reader
	piece int
}

func (c *streamConn) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.piece)]) }

func (c *streamConn) SetReadDeadline(time.Time) error { return nil }
