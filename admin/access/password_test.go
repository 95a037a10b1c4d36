package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestHash(t *testing.T) {
	h := newHash(password, cheap)
	if !h.matches(password) || h.matches(password+"x") || h.matches("") {
		t.Error("the hash is of another password")
	}
	again, err := parseHash(h.String())
	if err != nil || !again.matches(password) || again.String() != h.String() {
		t.Errorf("%s is read as %v, %v", h, again, err)
	}
	if other := newHash(password, cheap); other.String() == h.String() {
		t.Error("two hashes have the same salt")
	}
	if c := defaultCost; c.memory < 19*1024 || c.passes < 2 || c.threads < 1 {
		t.Errorf("%+v is less than OWASP recommends", c)
	}
}

// A hash that another program made.
func TestForeignHash(t *testing.T) {
	const made = "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$"
	h := &hash{cost: cheap, salt: []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}
	h.key = h.cost.derive(password, h.salt, keyBytes)
	if !strings.HasPrefix(h.String(), made) {
		t.Errorf("%s does not begin with %s", h, made)
	}
}

func TestParseHash(t *testing.T) {
	const salt, key = "AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0ODw"
	good := "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + key
	if _, err := parseHash(good); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", "$", "$$$$$", "secret", good + "$", good + "=", " " + good,
		strings.Replace(good, "argon2id", "argon2i", 1),
		strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=8", "m=7", 1),
		strings.Replace(good, "m=8", "m=262145", 1),
		strings.Replace(good, "m=8", "m=08", 1),
		strings.Replace(good, "m=8", "m=99999999999", 1),
		strings.Replace(good, "t=1", "t=0", 1),
		strings.Replace(good, "t=1", "t=17", 1),
		strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, "p=1", "p=300", 1),
		strings.Replace(good, "$"+salt, "$AAEC", 1),
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$AAEC",
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + strings.Repeat("A", 600),
	} {
		if h, err := parseHash(bad); err == nil {
			t.Errorf("%q is read as %s", bad, h)
		}
	}
}

// Who is there must not be told by the time that an answer takes.
func TestCVE_2026_32702_CVE_2026_23849_UnknownUserTakesAsLong(t *testing.T) {
	s := open(t, Options{Password: password, cost: cost{memory: 4 * 1024, passes: 1, threads: 1}})
	median := func(user string) time.Duration {
		var took []time.Duration
		for range 9 {
			s.guard = newBackoff()
			began := time.Now()
			if _, err := s.LogIn(t.Context(), home, user, "not the password"); !errors.Is(err, ErrWrong) {
				t.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	// Without a hash it would be a thousandth; a busy machine may make it a third now and then.
	var known, unknown time.Duration
	for range 20 {
		known, unknown = median("admin"), median("nobody")
		if unknown > known/3 && known > unknown/3 {
			return
		}
	}
	t.Errorf("a user who is there takes %v, and one who is not %v", known, unknown)
}

// A cookie must not come of a password that was changed while it was checked, nor a second change of it.
func TestChangedMeanwhile(t *testing.T) {
	s := open(t, Options{})
	first := s.FirstPassword()
	checked, err := s.check(t.Context(), home, "admin", first)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ChangePassword(t.Context(), home, first, password); err != nil {
		t.Fatal(err)
	}
	if cookie, err := s.addSession(checked); !errors.Is(err, ErrWrong) || cookie != "" {
		t.Errorf("a session with the old password: %q, %v", cookie, err)
	}

	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.ChangePassword(t.Context(), home, password, fmt.Sprint("another password ", i))
		})
	}
	wg.Wait()
	changed := 0
	for _, err := range errs {
		if err == nil {
			changed++
		} else if !errors.Is(err, ErrWrong) {
			t.Error(err)
		}
	}
	if changed != 1 {
		t.Errorf("%d of those who knew the password have changed it, each from that one", changed)
	}
}

// Hashing takes memory: only some do it at a time, some wait, and the rest is turned away.
func TestCVE_2026_54092_LogInsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(cheap)
		release := make(chan struct{})
		var mu sync.Mutex
		working, most := 0, 0
		results := make(chan error, 100)
		ask := func(ctx context.Context) {
			results <- h.do(ctx, func() {
				mu.Lock()
				working++
				most = max(most, working)
				mu.Unlock()
				<-release
				mu.Lock()
				working--
				mu.Unlock()
			})
		}
		for range 30 {
			go ask(t.Context())
		}
		synctest.Wait()
		var busy *TooManyError
		for range 30 - maxQueue {
			if err := <-results; !errors.As(err, &busy) || busy.After <= 0 {
				t.Fatalf("one too many: %v", err)
			}
		}
		if most != maxHashing {
			t.Errorf("%d hashed at a time, want %d", most, maxHashing)
		}
		time.Sleep(maxQueueTime + time.Second)
		for range maxQueue - maxHashing {
			if err := <-results; !errors.As(err, &busy) {
				t.Fatalf("one that waited for long: %v", err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go ask(ctx)
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("one that hung up: %v", err)
		}
		close(release)
		for range maxHashing {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if len(h.queue) != 0 || len(h.turns) != 0 {
			t.Error("somebody has kept a place")
		}
	})
}

// One who was not looked at has not failed.
func TestTurnedAway(t *testing.T) {
	s := open(t, Options{Password: password})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 * freeFailures {
		if _, err := s.LogIn(ctx, home, "admin", password); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	s.logIn(password)
}

func TestLongPassword(t *testing.T) {
	long := strings.Repeat("x", maxSecret)
	s := open(t, Options{Password: long})
	s.wantLogIn("admin", long, nil)
	s.wantLogIn("admin", long+"x", ErrWrong)
	s.wantLogIn("admin", strings.Repeat("x", 1<<20), ErrWrong)
	s.wantLogIn(strings.Repeat("x", 1<<20), long, ErrWrong)
}

// Wrong passwords are slowed down for an address.
func TestCVE_2022_4797_Guessing(t *testing.T) {
	for _, call := range []struct {
		name  string
		guess func(*site, netip.Addr, string) error
	}{
		{"LogIn", func(s *site, addr netip.Addr, guess string) error {
			_, err := s.LogIn(s.t.Context(), addr, "admin", guess)
			return err
		}},
		{"LogIn as nobody", func(s *site, addr netip.Addr, guess string) error {
			_, err := s.LogIn(s.t.Context(), addr, "nobody", guess)
			return err
		}},
		{"ChangePassword", func(s *site, addr netip.Addr, guess string) error {
			return s.ChangePassword(s.t.Context(), addr, guess, "another password")
		}},
	} {
		t.Run(call.name, func(t *testing.T) {
			s := open(t, Options{})
			first := s.FirstPassword()
			for range freeFailures {
				if err := call.guess(s, home, "wrong"); !errors.Is(err, ErrWrong) {
					t.Fatal(err)
				}
			}
			var many *TooManyError
			if err := call.guess(s, home, first); !errors.As(err, &many) || many.After <= 0 || many.After > firstDelay {
				t.Errorf("the right one after too many: %v", err)
			}
			elsewhere := netip.MustParseAddr("192.0.2.2")
			if _, err := s.LogIn(t.Context(), elsewhere, "admin", first); err != nil {
				t.Errorf("elsewhere: %v", err)
			}
		})
	}
}
