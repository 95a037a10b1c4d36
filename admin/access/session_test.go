package access

import (
	"crypto/rand"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Sessions must not be good any more once they were ended, in whatever way.
func TestCVE_2025_53826_CVE_2024_21635_CVE_2026_33031_EndedSession(t *testing.T) {
	tests := []struct {
		name  string
		end   func(s *site, cookie string)
		other bool // whether another session goes on
	}{
		{"log out", func(s *site, cookie string) { s.LogOut(cookie) }, true},
		{"log out everywhere", func(s *site, _ string) { s.LogOutAll() }, false},
		{"change of the password", func(s *site, _ string) {
			if err := s.ChangePassword(s.t.Context(), home, password, "another password"); err != nil {
				s.t.Fatal(err)
			}
		}, false},
		{"a password in the options", func(s *site, _ string) {
			s.restart(func(o *Options) { o.Password = password })
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, Options{})
			if err := s.ChangePassword(t.Context(), home, s.FirstPassword(), password); err != nil {
				t.Fatal(err)
			}
			cookie, other := s.logIn(password), s.logIn(password)
			who, ok := s.Session(cookie)
			if !ok || who.Name != "admin" || who.Role != RoleAdmin || who.Session == "" || !s.Valid(who) {
				t.Fatalf("before its end the session is %+v, %t, valid %t", who, ok, s.Valid(who))
			}
			test.end(s, cookie)
			s.wantSession(cookie, false)
			s.wantSession(other, test.other)
			if s.Valid(who) {
				t.Error("what it began may go on")
			}
			s.restart(nil)
			s.wantSession(cookie, false)
			s.wantSession(other, test.other)
		})
	}
}

func TestCookie(t *testing.T) {
	s := open(t, Options{Password: password})
	cookie := s.logIn(password)
	if other := s.logIn(password); other == cookie || len(cookie) != 43 {
		t.Errorf("the cookies are %q and %q", cookie, other)
	}
	who, _ := s.Session(cookie)
	b, err := os.ReadFile(s.opts.Path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), cookie) || strings.Contains(who.Session, cookie) {
		t.Error("the cookie is in the file, or in the session's id")
	}
	for _, bad := range []string{
		"", cookie[:42], cookie + "A", strings.ToLower(cookie), who.Session, strings.Repeat("x", 1<<20), strings.Repeat("A", 43),
	} {
		s.wantSession(bad, false)
		s.LogOut(bad)
	}
	s.wantSession(cookie, true)
}

func TestSessionExpires(t *testing.T) {
	const hour = time.Hour
	tests := []struct {
		name string
		step time.Duration // between uses
		want time.Duration // for how long it is good
	}{
		{"not used", 0, idleTime},
		{"used each hour", hour, lifeTime},
		{"used now and then", idleTime - hour, lifeTime},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, Options{Password: password})
				cookie := s.logIn(password)
				who, _ := s.Session(cookie)
				began := time.Now()
				for test.step > 0 && time.Since(began)+test.step < test.want {
					time.Sleep(test.step)
					s.wantSession(cookie, true)
				}
				time.Sleep(test.want - time.Since(began) - time.Second)
				if !s.Valid(who) {
					t.Error("it has ended a second too early")
				}
				time.Sleep(time.Second)
				if s.Valid(who) {
					t.Error("it is still valid")
				}
				s.wantSession(cookie, false)
				s.logIn(password)
				if n := len(s.state.Load().sessions); n != 1 {
					t.Errorf("%d sessions are kept, want the new one", n)
				}
				s.stop()
			})
		})
	}
}

// A restart changes nothing about when a session expires.
func TestSessionExpiresOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Password: password})
		cookie, unused := s.logIn(password), s.logIn(password)
		time.Sleep(idleTime - time.Hour)
		s.wantSession(cookie, true)
		s.restart(nil) // writes the last use
		time.Sleep(idleTime - time.Hour)
		s.wantSession(unused, false)
		s.wantSession(cookie, true)
		s.stop()
	})
}

// Uses are written now and then, not each.
func TestLastUseIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Password: password})
		cookie := s.logIn(password)
		read := func() (content string, used int64) {
			b, err := os.ReadFile(s.opts.Path)
			if err != nil {
				t.Fatal(err)
			}
			kept, err := decode(b)
			if err != nil {
				t.Fatal(err)
			}
			return string(b), kept.sessions[sessionID(cookie)].used.Load()
		}
		before, _ := read()
		for range 3 {
			time.Sleep(time.Minute)
			s.wantSession(cookie, true)
		}
		last := time.Now().Unix()
		if now, _ := read(); now != before {
			t.Error("it was written with each use")
		}
		time.Sleep(saveInterval)
		synctest.Wait()
		if _, used := read(); used != last {
			t.Errorf("the last use is %d, want %d", used, last)
		}
		info, err := os.Stat(s.opts.Path)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * saveInterval)
		synctest.Wait()
		if again, err := os.Stat(s.opts.Path); err != nil || !os.SameFile(info, again) {
			t.Errorf("it was written without a use: %v", err)
		}
		s.stop()
	})
}

func TestTooManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Password: password})
		var cookies []string
		for range maxSessions {
			cookies = append(cookies, s.logIn(password))
		}
		time.Sleep(time.Minute)
		for i, cookie := range cookies {
			if i != 7 {
				s.wantSession(cookie, true)
			}
		}
		last := s.logIn(password)
		s.wantSession(last, true)
		for i, cookie := range cookies {
			s.wantSession(cookie, i != 7)
		}
		s.stop()
	})
}

// All at the same time, for the race detector.
func TestAtTheSameTime(t *testing.T) {
	s := open(t, Options{Password: password})
	cookie := s.logIn(password)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				own, err := s.LogIn(t.Context(), home, "admin", password)
				if err != nil {
					continue // too many at a time
				}
				who, ok := s.Session(own)
				if !ok || !s.Valid(who) {
					t.Error("a session is not good")
				}
				s.LogOut(own)
				if s.Valid(who) {
					t.Error("a session is good after its end")
				}
			}
		})
		wg.Go(func() {
			for i := range 5 {
				secret, made, err := s.AddToken(rand.Text(), RoleRead)
				if err != nil {
					t.Error(i, err)
					continue
				}
				s.Bearer(secret)
				s.Tokens()
				if err := s.RemoveToken(made.ID); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				s.wantSession(cookie, true)
				if err := s.saveNow(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(s.state.Load().sessions); n != 1 {
		t.Errorf("%d sessions are left, want 1", n)
	}
}
