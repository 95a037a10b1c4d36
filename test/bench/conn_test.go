//go:build linux

package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// fragment is a part of a record, with its mark.
func fragment(b []byte, last bool) []byte {
	mark := uint32(len(b))
	if last {
		mark |= 1 << 31
	}
	return append(big.AppendUint32(nil, mark), b...)
}

// serve returns a connection to a server that sends just that, and ends.
func serve(t *testing.T, sends ...[]byte) *conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		server, err := l.Accept()
		if err != nil {
			return
		}
		// What is missing, the client misses. With calls left unread, the end would be a reset.
		_, _ = server.Write(bytes.Join(sends, nil))
		_ = server.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, server)
		_ = server.Close()
		_ = l.Close()
	}()
	c, err := dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	return c
}

// numbers are n bytes that one can tell apart.
func numbers(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func TestNext(t *testing.T) {
	large, small := numbers(3*bufferSize+5), numbers(100)
	for _, test := range []struct {
		name  string
		sends [][]byte
		limit int
		want  [][]byte // whole records
	}{
		{"small", [][]byte{fragment(small, true), fragment(small[1:], true)}, 1000, [][]byte{small, small[1:]}},
		{"small, the head", [][]byte{fragment(small, true), fragment(small[1:], true)}, 50, [][]byte{small, small[1:]}},
		{"large", [][]byte{fragment(large, true), fragment(small, true)}, maxRecord, [][]byte{large, small}},
		{"large, the head", [][]byte{fragment(large, true), fragment(small, true)}, 128, [][]byte{large, small}},
		{"fragments", [][]byte{fragment(small[:10], false), fragment(nil, false), fragment(small[10:], true), fragment(small, true)}, 20, [][]byte{small, small}},
		{"fragments, all", [][]byte{fragment(large[:7], false), fragment(large[7:], true), fragment(small, true)}, maxRecord, [][]byte{large, small}},
		{"last fragment empty", [][]byte{fragment(small, false), fragment(nil, true)}, 1000, [][]byte{small}},
	} {
		for _, discard := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				c := serve(t, test.sends...)
				c.discard = discard
				for i, want := range test.want {
					head, length, err := c.next(test.limit)
					if err != nil {
						t.Fatal(err)
					}
					if length != len(want) || !bytes.Equal(head, want[:min(len(want), test.limit)]) {
						t.Errorf("record %d, discard %v: %d bytes with a head of %d, want %d", i, discard, length, len(head), len(want))
					}
				}
				if _, _, err := c.next(test.limit); err == nil {
					t.Error("a record after the last one")
				}
			})
		}
	}
}

// reply is an accepted one, and nothing else.
func reply(xid uint32, results ...byte) []byte {
	b := big.AppendUint32(big.AppendUint32(nil, xid), 1)
	return append(append(b, make([]byte, replySize-len(b))...), results...)
}

// TestRun has a server send replies that it may not send.
func TestRun(t *testing.T) {
	denied := reply(1<<24 | 2)
	denied[11] = 1
	for _, test := range []struct {
		name  string
		sends []byte
		want  string // in the error; empty if there is none
	}{
		{"in order", bytes.Join([][]byte{fragment(reply(1), true), fragment(reply(1<<24|2), true)}, nil), ""},
		{"in another order", bytes.Join([][]byte{fragment(reply(1<<24|2), true), fragment(reply(1), true)}, nil), ""},
		{"twice the same", bytes.Join([][]byte{fragment(reply(1), true), fragment(reply(1), true)}, nil), "nobody made"},
		{"another call's", fragment(reply(7), true), "nobody made"},
		{"denied", fragment(denied, true), "not carried out"},
		{"cut off", fragment(reply(1)[:20], true), "reply of 20 bytes"},
		{"not all", fragment(reply(1), true), "closed"},
		{"wrong results", fragment(reply(1, 9), true), "results"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := serve(t, test.sends)
			l := &load{
				inFlight: 2, template: appendCall(nil, programNFS, 0), head: maxRecord, aim: func([]byte, int) {},
				check: func(_ int, results []byte, _ int) error {
					if len(results) > 0 {
						return errShort
					}
					return nil
				},
			}
			times, _, err := c.run(l, 2, 0, nil)
			switch {
			case test.want == "" && (err != nil || len(times) != 2):
				t.Errorf("%d calls carried out: %v", len(times), err)
			case test.want == "results":
				if err != errShort { //nolint:errorlint // the very error
					t.Errorf("the error is %v, want that of the check", err)
				}
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("the error is %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(200-i))
	}
	for _, test := range []struct {
		percent int
		want    time.Duration
	}{{0, 1}, {50, 101}, {99, 199}, {100, 200}} {
		if got := percentile(times, test.percent); got != test.want {
			t.Errorf("percentile %d is %d, want %d", test.percent, got, test.want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("percentile of nothing is %d", got)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		all  []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}} {
		if got := median(test.all); got != test.want {
			t.Errorf("median(%v) is %v, want %v", test.all, got, test.want)
		}
	}
}
