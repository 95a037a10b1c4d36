package relay

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/willscott/go-nfs"
	"go.uber.org/goleak"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a handler that counts the calls that go-nfs answers: each of them begins with a handle.
type watched struct {
	nfs.Handler
	calls atomic.Int64
	// hold is called in the middle of each call.
	hold func()
}

func (w *watched) FromHandle(handle []byte) (billy.Filesystem, []string, error) {
	w.calls.Add(1)
	if w.hold != nil {
		w.hold()
	}
	return w.Handler.FromHandle(handle)
}

// start returns a relay about a tree with a route, which the caller has to close.
func start(t testing.TB) (*Relay, *watched) {
	t.Helper()
	tr := tree.New(time.Unix(1_700_000_000, 0))
	if err := tr.PutRoute(tree.Route{ID: 2, Name: "films"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	r := New(tr)
	w := &watched{Handler: r.handler}
	r.handler = w
	return r, w
}

const (
	procWrite  = 7
	procRemove = 12
)

// remove is a REMOVE in the root of a tree.
func remove(xid uint32, name string) []byte {
	h := tree.New(time.Time{}).Root().Handle()
	b := rpc.AppendCall(nil, rpc.Header{XID: xid, Program: 100003, Version: 3, Proc: procRemove})
	return xdr.AppendOpaque(xdr.AppendOpaque(b, h[:]), name)
}

// write is a WRITE of n bytes.
func write(xid uint32, n int) []byte {
	h := tree.New(time.Time{}).Root().Handle()
	b := rpc.AppendCall(nil, rpc.Header{XID: xid, Program: 100003, Version: 3, Proc: procWrite})
	b = xdr.AppendUint64(xdr.AppendOpaque(b, h[:]), 0)
	return xdr.AppendOpaque(xdr.AppendWords(b, uint32(n), 2), make([]byte, n))
}

var (
	alice = netip.MustParseAddrPort("192.0.2.1:700")
	bob   = netip.MustParseAddrPort("192.0.2.2:700")
	// readOnly is ROFS, and a wcc_data of nothing.
	readOnly = xdr.AppendWords(nil, 30, 0, 0)
)

// expect makes a call that has to be refused.
func expect(t testing.TB, r *Relay, client netip.AddrPort, record []byte) {
	t.Helper()
	if got, err := r.Call(t.Context(), client, record); err != nil || !bytes.Equal(got, readOnly) {
		t.Errorf("%x, %v; want %x", got, err, readOnly)
	}
}

// TestAgain makes calls again. Those of the same client with the same bytes are not made again.
func TestAgain(t *testing.T) {
	r, w := start(t)
	defer r.Close()
	for _, test := range []struct {
		what   string
		client netip.AddrPort
		record []byte
		calls  int64
	}{
		{"the first", alice, remove(1, "a"), 1},
		{"again", alice, remove(1, "a"), 1},
		{"again from another port", netip.AddrPortFrom(alice.Addr(), 701), remove(1, "a"), 1},
		{"another client", bob, remove(1, "a"), 2},
		{"another XID", alice, remove(2, "a"), 3},
		{"the same XID for something else", alice, remove(1, "b"), 4},
		{"the first again", alice, remove(1, "a"), 4},
		{"the other client again", bob, remove(1, "a"), 4},
		{"a WRITE", alice, write(1, 1000), 5},
		{"a longer WRITE", alice, write(1, 1001), 6},
		{"a WRITE again", alice, write(1, 1000), 6},
	} {
		expect(t, r, test.client, test.record)
		if got := w.calls.Load(); got != test.calls {
			t.Errorf("%s: go-nfs has answered %d calls, want %d", test.what, got, test.calls)
		}
	}
}

// TestAgainMeanwhile makes a call again while it is being answered.
func TestAgainMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := start(t)
		defer r.Close()
		free := make(chan struct{})
		w.hold = func() { <-free }
		var waiting sync.WaitGroup
		var done atomic.Int64
		for range 10 {
			waiting.Go(func() {
				expect(t, r, alice, remove(1, "a"))
				done.Add(1)
			})
		}
		synctest.Wait()
		// One who gives up has no result, and the call goes on.
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the client is gone")
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if _, err := r.Call(ctx, alice, remove(1, "a")); !errors.Is(err, gone) {
			t.Errorf("a call that was given up: %v, want %v", err, gone)
		}
		if n := done.Load(); n > 0 {
			t.Errorf("%d calls have a result before there is one", n)
		}
		close(free)
		waiting.Wait()
		if n := w.calls.Load(); n != 1 {
			t.Errorf("go-nfs has answered %d calls, want 1", n)
		}
	})
}

// TestGivenUp gives up a call when it has begun. It is not made again for who asks again.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := start(t)
		defer r.Close()
		w.hold = func() { time.Sleep(2 * time.Second) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Call(ctx, alice, remove(1, "a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want %v", err, context.DeadlineExceeded)
		}
		expect(t, r, alice, remove(1, "a"))
		if n := w.calls.Load(); n != 1 {
			t.Errorf("go-nfs has answered %d calls, want 1", n)
		}
	})
}

func TestRepliesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := start(t)
		defer r.Close()
		expect(t, r, alice, remove(1, "a"))
		time.Sleep(replyTime - time.Nanosecond)
		expect(t, r, alice, remove(1, "a"))
		if n := w.calls.Load(); n != 1 {
			t.Errorf("shortly before %v: %d calls, want 1", replyTime, n)
		}
		time.Sleep(time.Nanosecond) // counted from the first, as the client counts
		expect(t, r, alice, remove(1, "a"))
		if n := w.calls.Load(); n != 2 {
			t.Errorf("after %v: %d calls, want 2", replyTime, n)
		}
	})
}

// TestReplies fills the list of replies.
func TestReplies(t *testing.T) {
	var r replies
	now := time.Unix(1_700_000_000, 0)
	first := func(xid int, want bool) {
		t.Helper()
		if _, got := r.find(alice.Addr(), remove(uint32(xid), "a"), now); got != want {
			t.Errorf("call %d is the first of its kind: %v, want %v", xid, got, want)
		}
		if len(r.byKey) != r.order.Len() || r.order.Len() > maxReplies {
			t.Fatalf("%d replies, %d in order; want %d at most", len(r.byKey), r.order.Len(), maxReplies)
		}
	}
	for xid := range maxReplies {
		first(xid, true)
	}
	// Nothing is forgotten by asking for what is there.
	for xid := range maxReplies {
		first(xid, false)
	}
	first(maxReplies, true)
	for xid := 1; xid <= maxReplies; xid++ {
		first(xid, false)
	}
	first(0, true) // the oldest was forgotten
	now = now.Add(replyTime)
	first(maxReplies, true)
	if n := len(r.byKey); n != 1 {
		t.Errorf("%d replies after their time, want 1", n)
	}
	now = now.Add(-time.Hour) // a clock that is set back harms nobody
	first(maxReplies, false)
	first(1, true)
}

// TestWorkers makes more calls than there are workers. Those that there are, are used again.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := start(t)
		defer r.Close()
		var now, most atomic.Int64
		w.hold = func() {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
		}
		var calls sync.WaitGroup
		begin := time.Now()
		for xid := range uint32(4 * maxWorkers) {
			calls.Go(func() { expect(t, r, alice, remove(xid, "a")) })
		}
		calls.Wait()
		if took := time.Since(begin); most.Load() != maxWorkers || took != 4*time.Second {
			t.Errorf("%d calls at a time, all in %v; want %d, in %v", most.Load(), took, maxWorkers, 4*time.Second)
		}
		if n := len(r.idle); n != maxWorkers {
			t.Errorf("%d workers, want %d", n, maxWorkers)
		}
	})
}

// TestRoom makes more calls than there is room for, as clients do that send and hang up.
func TestRoom(t *testing.T) {
	for what, test := range map[string]struct {
		record func(xid uint32) []byte
		most   int
	}{
		"long ones":  {func(xid uint32) []byte { return write(xid, 1<<20-200) }, 32},
		"short ones": {func(xid uint32) []byte { return remove(xid, "a") }, 2048},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, w := start(t)
				defer r.Close()
				free := make(chan struct{})
				w.hold = func() { <-free }
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				begun := 0
				for xid := range uint32(3000) {
					_, err := r.Call(ctx, alice, test.record(xid))
					if errors.Is(err, errBusy) {
						break
					}
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					begun++
				}
				if begun != test.most {
					t.Errorf("%d calls at a time, want %d", begun, test.most)
				}
				// Those who wait for the result of another take room, too, as their calls do.
				if _, err := r.Call(ctx, alice, test.record(0)); !errors.Is(err, errBusy) {
					t.Errorf("again: %v, want %v", err, errBusy)
				}
				close(free)
				synctest.Wait()
				if !r.room.TryAcquire(maxRoom) {
					t.Fatal("room is taken though nothing is under way")
				}
				r.room.Release(maxRoom)
				for xid := range uint32(3) {
					expect(t, r, bob, test.record(xid))
				}
			})
		})
	}
}

// TestStuck has a call that go-nfs does not end. It fails, and others have other workers.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := start(t)
		defer r.Close()
		stuck := make(chan struct{})
		defer close(stuck)
		w.hold = func() {
			if w.calls.Load() == 1 {
				<-stuck
			}
		}
		begin := time.Now()
		if got, err := r.Call(t.Context(), alice, remove(1, "a")); err == nil {
			t.Errorf("a call that hangs has the result %x", got)
		}
		if took := time.Since(begin); took != callTime {
			t.Errorf("it was given up after %v, want %v", took, callTime)
		}
		for xid := range uint32(10) {
			expect(t, r, alice, remove(100+xid, "a"))
		}
	})
}

// TestNoCalls has records that go-nfs does not understand, which nothing should send here.
func TestNoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t)
		defer r.Close()
		for what, record := range map[string][]byte{
			"nothing":           nil,
			"too little":        make([]byte, 39),
			"a reply":           xdr.AppendWords(nil, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
			"another program":   rpc.AppendCall(nil, rpc.Header{XID: 1, Program: math.MaxUint32, Version: 1}),
			"another procedure": rpc.AppendCall(nil, rpc.Header{XID: 1, Program: 100003, Version: 3, Proc: 99}),
		} {
			if got, err := r.Call(t.Context(), alice, record); err == nil {
				t.Errorf("%s: %x", what, got)
			}
			expect(t, r, alice, remove(1, what))
		}
	})
}

// TestClose closes the relay while calls are under way, and others wait for a worker.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := start(t)
		stuck := make(chan struct{})
		defer close(stuck)
		expect(t, r, alice, remove(1000, "a"))
		w.hold = func() { <-stuck }
		var calls sync.WaitGroup
		for xid := range uint32(2 * maxWorkers) {
			calls.Go(func() {
				if got, err := r.Call(t.Context(), alice, remove(xid, "a")); err == nil {
					t.Errorf("a call that was ended has the result %x", got)
				}
			})
		}
		synctest.Wait()
		begin := time.Now()
		r.Close()
		calls.Wait()
		if took := time.Since(begin); took > 0 {
			t.Errorf("closing took %v", took)
		}
		if _, err := r.Call(t.Context(), alice, remove(2000, "a")); !errors.Is(err, errClosed) {
			t.Errorf("a call afterwards: %v, want %v", err, errClosed)
		}
		r.Close()
	})
}

// TestCloseBesideCalls closes while calls begin.
func TestCloseBesideCalls(t *testing.T) {
	for range 20 {
		r, _ := start(t)
		var calls sync.WaitGroup
		for n := range uint32(8) {
			calls.Go(func() {
				for xid := range uint32(100) {
					got, err := r.Call(t.Context(), alice, remove(1000*n+xid, "a"))
					if err == nil && !bytes.Equal(got, readOnly) {
						t.Errorf("%x", got)
					}
				}
			})
		}
		r.Close()
		calls.Wait()
	}
}
