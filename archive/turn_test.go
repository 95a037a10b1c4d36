package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a decoder of some bytes, of which there may be one.
type counted struct {
	io.Reader
	open *atomic.Int64
}

func (c counted) Close() error {
	c.open.Add(-1)
	return nil
}

// TestTurn has readers take turns: one that reads on is left alone, one that rests is not, and goes on where it was.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int64
		opens := 0
		turn := newTurn()
		reader := func(ctx context.Context, b []byte) io.ReadCloser {
			return turn.reader(ctx, func() (io.ReadCloser, error) {
				opens++
				if n := open.Add(1); n > 1 {
					t.Errorf("%d decoders are open", n)
				}
				return counted{bytes.NewReader(b), &open}, nil
			})
		}
		x, y := text(1, 1000), text(2, 1000)
		a, b := reader(t.Context(), x), reader(t.Context(), y)
		read := func(r io.Reader, want []byte) {
			t.Helper()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("other bytes, %v", err)
			}
		}
		begin := time.Now()
		ended := make(chan time.Duration)
		read(a, x[:100])
		go func() {
			read(b, y[:100])
			ended <- time.Since(begin)
		}()
		for i := 1; i < 5; i++ {
			time.Sleep(turnRest / 2)
			read(a, x[i*100:][:100])
		}
		if took := <-ended; took < 3*turnRest || took > 3*turnRest+2*turnPoll {
			t.Errorf("the other's turn came after %v, though the first read for %v", took, 2*turnRest)
		}
		read(a, x[500:])
		read(b, y[100:200])
		if opens != 4 {
			t.Errorf("decoders were opened %d times, want 4", opens)
		}
		ctx, cancel := context.WithTimeout(t.Context(), turnRest/2)
		defer cancel()
		if _, err := reader(ctx, x).Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("out of its turn: %v", err)
		}
		begin = time.Now()
		_ = b.Close()
		read(a, nil)
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(begin) != 0 {
			t.Errorf("when the owner has ended, its end comes after %v: %v", time.Since(begin), err)
		}
		_ = a.Close()
		if n := open.Load(); n != 0 {
			t.Errorf("%d decoders are left open", n)
		}
	})
}

// TestTurnClose closes a decoder that has lost its turn while its successor waits for data.
func TestTurnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := newTurn()
		in, out := io.Pipe()
		first := turn.reader(t.Context(), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte("abc"))), nil })
		second := turn.reader(t.Context(), func() (io.ReadCloser, error) { return in, nil })
		if _, err := first.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		time.Sleep(turnRest)
		ended := make(chan error)
		go func() {
			_, err := second.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		_ = first.Close() // blocks for ever if it waits for the second
		_, _ = out.Write([]byte("x"))
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = second.Close()
	})
}

// TestTurnFails hands on errors, and tries again after them.
func TestTurnFails(t *testing.T) {
	fails := true
	turn := newTurn()
	r := turn.reader(t.Context(), func() (io.ReadCloser, error) {
		if fails {
			return nil, errAway
		}
		return io.NopCloser(bytes.NewReader([]byte("abc"))), nil
	})
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, errAway) {
		t.Errorf("%v", err)
	}
	fails = false
	if b, err := io.ReadAll(r); err != nil || string(b) != "abc" {
		t.Errorf("%q, %v", b, err)
	}
}
