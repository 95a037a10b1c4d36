package access

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Password: password})
		secrets := make(map[Role]string)
		for _, role := range []Role{RoleAdmin, RoleRead, RoleMetrics} {
			secret, made, err := s.AddToken("  for "+string(role)+" ", role)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`^shoal_[a-z2-7]{8}_[a-z2-7]{26,}$`).MatchString(secret) {
				t.Errorf("the secret is %q", secret)
			}
			if made.Name != "for "+string(role) || made.Role != role || !strings.HasPrefix(secret, made.Prefix+"_") ||
				made.Created.Unix() != time.Now().Unix() || !made.LastUsed.IsZero() {
				t.Errorf("the token is %+v", made)
			}
			secrets[role] = secret
			time.Sleep(time.Minute)
		}
		for role, secret := range secrets {
			who, ok := s.Bearer(secret)
			if !ok || who.Name != "for "+string(role) || who.Role != role || who.Session != "" || !s.Valid(who) {
				t.Errorf("the token of role %s is %+v, %t", role, who, ok)
			}
		}
		used := time.Now().Unix()
		b, err := os.ReadFile(s.opts.Path)
		if err != nil {
			t.Fatal(err)
		}
		s.restart(nil)
		shown := s.Tokens()
		if len(shown) != 3 || shown[0].Role != RoleAdmin || shown[2].Role != RoleMetrics {
			t.Fatalf("the tokens are %+v", shown)
		}
		for _, made := range shown {
			secret := secrets[made.Role]
			if strings.Contains(string(b), secret) {
				t.Error("the file has the secret")
			}
			if made.LastUsed.Unix() != used {
				t.Errorf("the last use is %v", made.LastUsed)
			}
			who, ok := s.Bearer(secret)
			if !ok {
				t.Error("the token is not good after a restart")
			}
			if err := s.RemoveToken(made.ID); err != nil {
				t.Error(err)
			}
			if _, ok := s.Bearer(secret); ok || s.Valid(who) {
				t.Error("the token is good after its end")
			}
			if err := s.RemoveToken(made.ID); !errors.Is(err, ErrNotFound) {
				t.Errorf("remove it again: %v", err)
			}
		}
		s.stop()
	})
}

func TestWrongToken(t *testing.T) {
	s := open(t, Options{Password: password, Token: "of the environment"})
	secret, made, err := s.AddToken("script", RoleAdmin)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", secret[1:], secret + "x", secret[:len(secret)-1], strings.ToUpper(secret), made.Prefix, made.Prefix + "_", made.ID,
		"shoal_", "shoal__", "environment", "of the environmen", "of the environment ", strings.Repeat("x", 1<<20), password,
	} {
		if who, ok := s.Bearer(bad); ok {
			t.Errorf("%.80q is %+v", bad, who)
		}
	}
	if s.Valid(Who{}) || s.Valid(Who{Session: "x"}) || s.Valid(Who{Token: "x"}) {
		t.Error("nobody is valid")
	}
}

func TestTokenOfOptions(t *testing.T) {
	s := open(t, Options{Password: password, Token: "of the environment"})
	who, ok := s.Bearer("of the environment")
	if !ok || who.Role != RoleAdmin || who.Name != "environment" || !s.Valid(who) || len(s.Tokens()) != 0 {
		t.Errorf("the token is %+v, %t, and %d are shown", who, ok, len(s.Tokens()))
	}
	if b, err := os.ReadFile(s.opts.Path); err != nil || strings.Contains(string(b), "environment") {
		t.Errorf("it is in the file: %v", err)
	}
	s.restart(func(o *Options) { o.Token = "" })
	if _, ok := s.Bearer("of the environment"); ok || s.Valid(who) {
		t.Error("it is good without the option")
	}
	if _, ok := s.Bearer(""); ok {
		t.Error("none is a token")
	}
}

func TestTokenNames(t *testing.T) {
	tests := []struct {
		name string
		role Role
		want string // part of the error; empty for none
	}{
		{"Sonarr, upstairs <b>", RoleRead, ""},
		{strings.Repeat("é", 60), RoleRead, ""},
		{strings.Repeat("é", 61), RoleRead, "longer than 60"},
		{"", RoleRead, "empty"},
		{" \t ", RoleRead, "empty"},
		{"a\nb", RoleRead, "cannot be shown"},
		{"a\x00b", RoleRead, "cannot be shown"},
		{"a\u202eb", RoleRead, "cannot be shown"},
		{"a\u2066b", RoleRead, "cannot be shown"},
		{"a\xffb", RoleRead, "cannot be shown"},
		{"taken", RoleAdmin, `called "taken" already`},
		{"script", "root", "none of admin, read and metrics"},
		{"script", "", "none of admin, read and metrics"},
	}
	for _, test := range tests {
		s := open(t, Options{Password: password})
		if _, _, err := s.AddToken("taken", RoleRead); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.AddToken(test.name, test.role)
		if test.want == "" {
			if err != nil {
				t.Errorf("%q: %v", test.name, err)
			}
			s.restart(nil) // the file can be read
			continue
		}
		var input *InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q, %q: %v, want %q", test.name, test.role, err, test.want)
		}
	}
}

func TestTooManyTokens(t *testing.T) {
	s := open(t, Options{Password: password})
	for i := range maxTokens {
		if _, _, err := s.AddToken(fmt.Sprint("token ", i), RoleRead); err != nil {
			t.Fatal(err)
		}
	}
	var input *InputError
	if _, _, err := s.AddToken("one more", RoleRead); !errors.As(err, &input) {
		t.Errorf("one more: %v", err)
	}
	s.restart(nil)
	if n := len(s.Tokens()); n != maxTokens {
		t.Errorf("%d tokens after a restart", n)
	}
}
