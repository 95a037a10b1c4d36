package archive

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// TestSpooledComesAgain has a client wait for what is far into a member, give up, look whether it is there, and come again. It is decoded once.
func TestSpooledComesAgain(t *testing.T) {
	const size = 8 << 20
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, t.TempDir())
		opened, left := 0, int64(0)
		f := &spooled{s, "t/0/1", size, 0, func(ctx context.Context) (io.ReadCloser, error) {
			opened++
			left = size
			return io.NopCloser(&trickle{ctx: ctx, left: &left}), nil
		}}
		far := func() (ok bool) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
			defer cancel()
			release, err := f.Await(ctx, size-2000, 1000)
			if err == nil {
				release()
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			return err == nil
		}
		attempts := 1
		for ; !far() && attempts < 20; attempts++ {
			if f.Ready(size-2000, 1000) {
				t.Error("it is ready before it is decoded")
			}
			time.Sleep(10 * time.Second)
			f.Ready(0, 1)
		}
		if !f.Ready(size-2000, 1000) || opened != 1 || attempts < 3 || attempts > 10 {
			t.Errorf("ready %v after %d attempts, decoded %d times", f.Ready(size-2000, 1000), attempts, opened)
		}
		for off := int64(0); off < size; off += 128 << 10 {
			if n, err := f.ReadAt(t.Context(), make([]byte, 128<<10), off); n != 128<<10 || err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("at %d: %d, %v", off, n, err)
			}
		}
		if opened != 1 {
			t.Errorf("decoded %d times", opened)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// trickle has 32 KiB each second.
type trickle struct {
	ctx  context.Context
	left *int64
}

func (r *trickle) Read(p []byte) (int, error) {
	if *r.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(time.Second):
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
	n := min(int64(len(p)), 32<<10, *r.left)
	*r.left -= n
	return int(n), nil
}
