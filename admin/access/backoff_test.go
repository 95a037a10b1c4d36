package access

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// wait returns how long an address has to wait.
func wait(t *testing.T, b *backoff, addr string) time.Duration {
	t.Helper()
	err := b.begin(netip.MustParseAddr(addr))
	if err == nil {
		return 0
	}
	var many *TooManyError
	if !errors.As(err, &many) || many.After <= 0 {
		t.Fatalf("the error is %v", err)
	}
	return many.After
}

func TestBackoffGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff()
		for i := range freeFailures {
			if after := wait(t, b, "192.0.2.1"); after != 0 {
				t.Fatalf("attempt %d waits for %v", i, after)
			}
		}
		want := firstDelay
		for range 20 {
			if after := wait(t, b, "192.0.2.1"); after != want {
				t.Fatalf("it waits for %v, want %v", after, want)
			}
			if after := wait(t, b, "192.0.2.2"); after != 0 {
				t.Fatalf("another waits for %v", after)
			}
			b.succeed(netip.MustParseAddr("192.0.2.2"))
			time.Sleep(want)
			if after := wait(t, b, "192.0.2.1"); after != 0 {
				t.Fatalf("after waiting it waits for %v more", after)
			}
			want = min(2*want, maxDelay)
		}
		if want != maxDelay {
			t.Errorf("the longest wait is %v", want)
		}
		time.Sleep(forgetAfter)
		for i := range freeFailures {
			if after := wait(t, b, "192.0.2.1"); after != 0 {
				t.Fatalf("attempt %d of one that was forgotten waits for %v", i, after)
			}
		}
	})
}

func TestBackoffEndsWithSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff()
		for range 3 {
			for range freeFailures {
				if after := wait(t, b, "192.0.2.1"); after != 0 {
					t.Fatalf("it waits for %v", after)
				}
			}
			time.Sleep(firstDelay)
			if after := wait(t, b, "192.0.2.1"); after != 0 {
				t.Fatalf("it waits for %v", after)
			}
			b.succeed(netip.MustParseAddr("192.0.2.1"))
		}
	})
}

// Who has one address has those beside it.
func TestBackoffByClient(t *testing.T) {
	tests := []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	}
	for _, test := range tests {
		b := newBackoff()
		for range freeFailures {
			wait(t, b, test.one)
		}
		if same := wait(t, b, test.other) > 0; same != test.same {
			t.Errorf("%s and %s are the same: %t", test.one, test.other, same)
		}
	}
	b := newBackoff() // nobody knows the address
	for range freeFailures {
		if err := b.begin(netip.Addr{}); err != nil {
			t.Fatal(err)
		}
	}
	if b.begin(netip.Addr{}) == nil {
		t.Error("those without an address do not wait")
	}
}

// Many addresses together are slowed down, but not one from which the user has logged in.
func TestBackoffOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff()
		user := "192.0.2.1"
		wait(t, b, user)
		b.succeed(netip.MustParseAddr(user))
		stranger := 0
		next := func() time.Duration {
			stranger++
			return wait(t, b, fmt.Sprintf("2001:db8:0:%x::1", stranger))
		}
		for range allFailures {
			if after := next(); after != 0 {
				t.Fatalf("the first wait for %v", after)
			}
		}
		for range 3 {
			if after := next(); after != allInterval {
				t.Errorf("it waits for %v, want %v", after, allInterval)
			}
			if after := wait(t, b, user); after != 0 {
				t.Errorf("the user waits for %v", after)
			}
			b.succeed(netip.MustParseAddr(user))
			time.Sleep(allInterval)
			if after := next(); after != 0 {
				t.Errorf("after waiting it waits for %v more", after)
			}
		}
		time.Sleep(allFailures * allInterval)
		tried := 0
		for next() == 0 {
			tried++
		}
		if tried != allFailures {
			t.Errorf("%d at once after a pause, want %d", tried, allFailures)
		}
	})
}

// However many addresses there are, they take no more memory.
func TestBackoffIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff()
		for i := range maxAddresses + 100 {
			wait(t, b, fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff))
			time.Sleep(allInterval)
		}
		if n := len(b.addresses); n != maxAddresses {
			t.Errorf("%d addresses, want %d", n, maxAddresses)
		}
		for i := range 3 * maxKnown {
			b.succeed(netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", i>>8, i&0xff)))
			time.Sleep(time.Second)
		}
		if n := len(b.known); n != maxKnown {
			t.Errorf("%d known ones, want %d", n, maxKnown)
		}
		if last := client(netip.MustParseAddr("10.0.2.255")); b.known[last].IsZero() {
			t.Error("the last one is not known")
		}
	})
}

func TestTooManyError(t *testing.T) {
	for after, want := range map[time.Duration]string{
		time.Millisecond:        "there were too many attempts to log in: try again in 1 second",
		1500 * time.Millisecond: "there were too many attempts to log in: try again in 2 seconds",
	} {
		if got := (&TooManyError{After: after}).Error(); got != want {
			t.Errorf("%v: %q, want %q", after, got, want)
		}
	}
}
