package access

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// full is a file with as much as there may be.
func full() []byte { return file(maxSessions, maxTokens) }

func file(sessions, tokens int) []byte {
	s := &state{
		user: "admin", own: newHash(password, cheap), generated: true, set: newHash("another", cheap),
		sessions: make(map[string]*session), tokens: make(map[string]*token),
	}
	for i := range sessions {
		x := &session{created: 1 << 40}
		x.used.Store(1 << 40)
		s.sessions[sessionID(fmt.Sprintf("%043d", i))] = x
	}
	for i := range tokens {
		t := &token{
			id: fmt.Sprintf("aaaaaa%c%c", 'a'+i/26, 'a'+i%26), name: strings.Repeat("\U0001f41f", maxNameRunes),
			role: RoleMetrics, created: 1 << 40,
		}
		t.used.Store(1 << 40)
		s.tokens[t.id] = t
	}
	return s.encode()
}

func TestFullFile(t *testing.T) {
	b := full()
	s, err := decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := s.encode(); !bytes.Equal(again, b) {
		t.Error("it is written in another way than it was read")
	}
	if len(b) > maxFile/10 {
		t.Errorf("it has %d bytes", len(b))
	}
}

func TestFileMode(t *testing.T) {
	s := open(t, Options{})
	info, err := os.Stat(s.opts.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(s.opts.Path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are beside it, %v", len(entries)-1, err)
	}
}

// A damaged file is an error that names it, and stays as it is: it must not let anybody in.
func TestDamagedFile(t *testing.T) {
	good := string(full())
	id := sessionID(fmt.Sprintf("%043d", 0))
	tests := map[string]string{
		"empty":              "",
		"not JSON":           "password",
		"cut off":            good[:len(good)/2],
		"something after":    good + "{}",
		"no format":          "{}",
		"null":               "null",
		"a list":             "[]",
		"later format":       strings.Replace(good, `"format": 1`, `"format": 2`, 1),
		"negative format":    strings.Replace(good, `"format": 1`, `"format": -1`, 1),
		"hash":               strings.Replace(good, "$argon2id", "$argon3id", 1),
		"plain password":     `{"format": 1, "password": "secret"}`,
		"other hash":         strings.Replace(good, `"set_password": "$`, `"set_password": "`, 1),
		"session's id":       strings.Replace(good, id, id[1:], 1),
		"session's spelling": strings.Replace(good, id, strings.ToUpper(id), 1),
		"session twice":      strings.Replace(good, sessionID(fmt.Sprintf("%043d", 1)), id, 1),
		"token's id":         strings.Replace(good, `"aaaaaaaa"`, `"aaaaaaa"`, 1),
		"token's letters":    strings.Replace(good, `"aaaaaaaa"`, `"aaaaaaa_"`, 1),
		"token twice":        strings.Replace(good, `"aaaaaaaa"`, `"aaaaaaab"`, 1),
		"token's role":       strings.Replace(good, `"metrics"`, `"root"`, 1),
		"token's name":       strings.Replace(good, "\U0001f41f", "\u202e", 1),
		"token's sum":        strings.Replace(good, `"sha256": "00`, `"sha256": "0`, 1),
		"too large":          good + strings.Repeat(" ", maxFile),
		"too many sessions":  strings.Replace(good, `"sessions": [`, `"sessions": [{"id": "`+strings.Repeat("0", 64)+`"},`, 1),
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			if content == good {
				t.Fatal("the file is not damaged")
			}
			path := filepath.Join(t.TempDir(), "access.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := Open(Options{Path: path, cost: cheap, Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				t.Fatal("it was opened", a.Close())
			}
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != content {
				t.Errorf("the file was changed, or %v", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(file(2, 2)) // a large one takes the fuzzer seconds to make smaller
	f.Add([]byte(`{"format": 1, "user": "admin"}`))
	f.Add([]byte(`{"format": 1, "password": "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODw"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		if err != nil {
			return
		}
		if len(s.sessions) > maxSessions || len(s.tokens) > maxTokens {
			t.Fatalf("%d sessions, %d tokens", len(s.sessions), len(s.tokens))
		}
		once := s.encode()
		again, err := decode(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		if twice := again.encode(); !bytes.Equal(once, twice) {
			t.Fatalf("written as\n%s\nand then as\n%s", once, twice)
		}
	})
}
