package access

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap is a hash that takes next to nothing.
var cheap = cost{memory: 8, passes: 1, threads: 1}

const password = "correct horse battery"

var home = netip.MustParseAddr("192.0.2.1")

// site is an Access over restarts.
type site struct {
	*Access
	t    *testing.T
	opts Options
}

// open opens an Access in a folder of its own, which is closed when the test ends.
func open(t *testing.T, opts Options) *site {
	t.Helper()
	if opts.Path == "" {
		opts.Path = filepath.Join(t.TempDir(), "access.json")
	}
	if opts.cost == (cost{}) {
		opts.cost = cheap
	}
	opts.Logger = slog.New(slog.DiscardHandler)
	s := &site{t: t, opts: opts}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) start() {
	s.t.Helper()
	a, err := Open(s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Access = a
}

func (s *site) stop() {
	if s.Access == nil {
		return
	}
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
	s.Access = nil
}

// restart starts again with what edit makes of the options.
func (s *site) restart(edit func(*Options)) {
	s.t.Helper()
	s.stop()
	if edit != nil {
		edit(&s.opts)
	}
	s.start()
}

// logIn logs the user in.
func (s *site) logIn(pass string) (cookie string) {
	s.t.Helper()
	cookie, err := s.LogIn(context.Background(), home, s.User(), pass)
	if err != nil {
		s.t.Fatal(err)
	}
	return cookie
}

func (s *site) wantSession(cookie string, want bool) {
	s.t.Helper()
	if _, ok := s.Session(cookie); ok != want {
		s.t.Errorf("session is good: %t, want %t", ok, want)
	}
}

// wantLogIn checks whether a password is right, from an address without failures.
func (s *site) wantLogIn(user, pass string, want error) {
	s.t.Helper()
	s.guard = newBackoff()
	if _, err := s.LogIn(context.Background(), home, user, pass); !errors.Is(err, want) {
		s.t.Errorf("log in as %q with %q: %v, want %v", user, pass, err, want)
	}
}

// The first start of qBittorrent had a password that everybody knows, and that of nginx-ui was open for
// whoever came first.
func TestCVE_2023_30801_CVE_2026_42221_FirstStart(t *testing.T) {
	s := open(t, Options{})
	for _, guess := range []string{"", "admin", "adminadmin", "password", "shoal"} {
		s.wantLogIn("admin", guess, ErrWrong)
	}
	first := s.FirstPassword()
	if len(first) != 23 {
		t.Errorf("the first password is %q", first)
	}
	if again := s.FirstPassword(); again != "" {
		t.Errorf("the first password was told again: %q", again)
	}
	if !s.Generated() {
		t.Error("nobody is asked to change the first password")
	}
	s.wantLogIn("admin", first, nil)
	if b, err := os.ReadFile(s.opts.Path); err != nil || strings.Contains(string(b), first) {
		t.Errorf("the file has the password, or none is there: %v", err)
	}
	if other := open(t, Options{}); other.FirstPassword() == first {
		t.Error("two have the same first password")
	}

	s.restart(nil)
	if again := s.FirstPassword(); again != "" {
		t.Errorf("the second start made a password: %q", again)
	}
	if !s.Generated() {
		t.Error("after a restart nobody is asked to change the first password")
	}
	s.wantLogIn("admin", first, nil)
}

func TestPasswordOfOptions(t *testing.T) {
	s := open(t, Options{User: "ann", Password: password})
	if first := s.FirstPassword(); first != "" || s.Generated() || !s.PasswordSet() {
		t.Errorf("first password %q, generated %t, set %t", first, s.Generated(), s.PasswordSet())
	}
	s.wantLogIn("ann", password, nil)
	s.wantLogIn("admin", password, ErrWrong)
	s.wantLogIn("ann", "admin", ErrWrong)
	s.wantLogIn("ann", "", ErrWrong)
	err := s.ChangePassword(context.Background(), home, password, "another password")
	if !errors.Is(err, ErrSetElsewhere) {
		t.Errorf("change: %v", err)
	}
}

// What ends sessions at a start, and what does not.
func TestRestart(t *testing.T) {
	tests := []struct {
		name       string
		set        string // Options.Password at first
		edit       func(*Options)
		wantLiving bool
	}{
		{"as before", "", nil, true},
		{"as before, set", password, nil, true},
		{"set now", "", func(o *Options) { o.Password = password }, false},
		{"set to another", password, func(o *Options) { o.Password = "another password" }, false},
		{"set no more", password, func(o *Options) { o.Password = "" }, false},
		{"another user", password, func(o *Options) { o.User = "ann" }, false},
		{"another token", password, func(o *Options) { o.Token = "a token of the environment" }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, Options{Password: test.set})
			pass := s.FirstPassword() + test.set
			cookie := s.logIn(pass)
			secret, _, err := s.AddToken("script", RoleRead)
			if err != nil {
				t.Fatal(err)
			}
			s.restart(test.edit)
			s.wantSession(cookie, test.wantLiving)
			if _, ok := s.Bearer(secret); !ok {
				t.Error("the token is gone")
			}
			s.restart(nil)
			s.wantSession(cookie, test.wantLiving)
		})
	}
}

// A password that the site has kept is good again when the options have none any more.
func TestSetAndBack(t *testing.T) {
	s := open(t, Options{})
	first := s.FirstPassword()
	s.restart(func(o *Options) { o.Password = password })
	s.wantLogIn("admin", first, ErrWrong)
	s.wantLogIn("admin", password, nil)
	if s.Generated() {
		t.Error("a password of the options is to be changed")
	}
	s.restart(func(o *Options) { o.Password = "" })
	s.wantLogIn("admin", password, ErrWrong)
	s.wantLogIn("admin", first, nil)
	if s.FirstPassword() != "" || !s.Generated() {
		t.Error("a password was made, or the first one is not to be changed any more")
	}
}

func TestChangePassword(t *testing.T) {
	tests := []struct {
		name, current, replacement string
		want                       string // part of the error; empty for none
	}{
		{"good", password, "another password", ""},
		{"eight of any alphabet", password, "пароль八九", ""},
		{"as long as may be", password, strings.Repeat("x", maxSecret), ""},
		{"wrong", "not the password", "another password", ErrWrong.Error()},
		{"wrong and empty", "", "another password", ErrWrong.Error()},
		{"short", password, "sevench", "at least 8 characters"},
		{"long", password, strings.Repeat("x", maxSecret+1), "longer than 1024 bytes"},
		{"same", password, password, "same as the current"},
		{"user", password, "Alexandra", "the user's name"},
		{"not UTF-8", password, "another \xff password", "cannot be read"},
		{"NUL", password, "another \x00 password", "cannot be read"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, Options{User: "alexandra"})
			ctx := context.Background()
			if err := s.ChangePassword(ctx, home, s.FirstPassword(), password); err != nil {
				t.Fatal(err)
			}
			cookie := s.logIn(password)
			err := s.ChangePassword(ctx, home, test.current, test.replacement)
			good, bad := test.replacement, password
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("the error is %v, want %q", err, test.want)
				}
				good, bad = password, "not the password, either"
			}
			if s.Generated() {
				t.Error("a password that was chosen is to be changed")
			}
			s.wantSession(cookie, test.want != "")
			s.restart(nil)
			s.wantSession(cookie, test.want != "")
			s.wantLogIn("alexandra", good, nil)
			s.wantLogIn("alexandra", bad, ErrWrong)
		})
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name string
		opts Options
		want string
	}{
		{"user with a control character", Options{User: "a\nb"}, "user's name"},
		{"user too long", Options{User: strings.Repeat("x", 61)}, "user's name"},
		{"password too long", Options{Password: strings.Repeat("x", 1025)}, "the password: it is longer"},
		{"token too long", Options{Token: strings.Repeat("x", 1025)}, "the API token: it is longer"},
		{"no folder", Options{Path: filepath.Join(dir, "none", "access.json")}, filepath.Join(dir, "none", "access.json")},
		{"a folder", Options{Path: dir}, dir},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.opts.cost, test.opts.Logger = cheap, slog.New(slog.DiscardHandler)
			if test.opts.Path == "" {
				test.opts.Path = filepath.Join(dir, "access.json")
			}
			if _, err := Open(test.opts); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}

// What cannot be written gives nobody a right, and takes it away all the same.
func TestDiskFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Path: filepath.Join(dir, "access.json")})
	first := s.FirstPassword()
	secret, made, err := s.AddToken("script", RoleRead)
	if err != nil {
		t.Fatal(err)
	}
	cookie := s.logIn(first)

	away := dir + "-away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	var write *WriteError
	if _, _, err := s.AddToken("another", RoleRead); !errors.As(err, &write) || len(s.Tokens()) != 1 {
		t.Errorf("add a token: %v, %d tokens", err, len(s.Tokens()))
	}
	if err := s.ChangePassword(context.Background(), home, first, password); !errors.As(err, &write) {
		t.Errorf("change the password: %v", err)
	}
	s.wantSession(cookie, true)
	s.LogOut(cookie)
	s.wantSession(cookie, false)
	if err := s.RemoveToken(made.ID); err != nil {
		t.Error(err)
	}
	if _, ok := s.Bearer(secret); ok {
		t.Error("the token is still good")
	}
	cookie = s.logIn(first)
	s.wantSession(cookie, true)
	if err := s.saveNow(); !errors.As(err, &write) {
		t.Errorf("save: %v", err)
	}

	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	s.restart(nil)
	s.wantSession(cookie, true)
	if _, ok := s.Bearer(secret); ok || len(s.Tokens()) != 0 {
		t.Error("the token is back")
	}
	s.wantLogIn("admin", first, nil)
}
