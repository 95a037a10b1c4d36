package access

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// state is all that is kept. It is not changed once it is in force, but for the last uses of sessions and tokens,
// which one state shares with the next.
type state struct {
	user      string // whose the sessions are
	own       *hash  // of the site's own password; nil if there never was one
	generated bool   // own was made by Open
	set       *hash  // of Options.Password; nil without one
	sessions  map[string]*session
	tokens    map[string]*token
}

// inForce returns the hash of the password that is good.
func (s *state) inForce() *hash { return cmp.Or(s.set, s.own) }

// clone returns a state that may be changed, without the sessions that have expired.
func (s *state) clone(now time.Time) *state {
	c := *s
	c.sessions, c.tokens = maps.Clone(s.sessions), maps.Clone(s.tokens)
	maps.DeleteFunc(c.sessions, func(_ string, x *session) bool { return !x.alive(now) })
	return &c
}

// format is the number of the file's layout. A file with a higher one is not opened.
const format = 1

// maxFile is the largest file that is read, in bytes. One with as many sessions and tokens as there may be
// has less than a tenth.
const maxFile = 1 << 20

// record is the file.
type record struct {
	Format    int             `json:"format"`
	User      string          `json:"user"`
	Password  string          `json:"password,omitempty"` // own, as a PHC string
	Generated bool            `json:"generated,omitempty"`
	Set       string          `json:"set_password,omitempty"` // so that another one is noticed, as a PHC string
	Sessions  []sessionRecord `json:"sessions"`
	Tokens    []tokenRecord   `json:"tokens"`
}

type sessionRecord struct {
	ID      string `json:"id"`      // SHA-256 of the cookie
	Created int64  `json:"created"` // Unix seconds, as all times here
	Used    int64  `json:"used"`
}

type tokenRecord struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Role    Role   `json:"role"`
	Sum     string `json:"sha256"` // of the secret
	Created int64  `json:"created"`
	Used    int64  `json:"used,omitempty"`
}

func (s *state) encode() []byte {
	r := record{
		Format: format, User: s.user, Generated: s.generated,
		Sessions: make([]sessionRecord, 0, len(s.sessions)), Tokens: make([]tokenRecord, 0, len(s.tokens)),
	}
	if s.own != nil {
		r.Password = s.own.String()
	}
	if s.set != nil {
		r.Set = s.set.String()
	}
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		x := s.sessions[id]
		r.Sessions = append(r.Sessions, sessionRecord{ID: id, Created: x.created, Used: x.used.Load()})
	}
	for _, id := range slices.Sorted(maps.Keys(s.tokens)) {
		t := s.tokens[id]
		r.Tokens = append(r.Tokens, tokenRecord{
			ID: id, Name: t.name, Role: t.role, Sum: hex.EncodeToString(t.sum[:]), Created: t.created, Used: t.used.Load(),
		})
	}
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		panic(err) // a record has nothing that JSON has not
	}
	return append(b, '\n')
}

// readState reads the file; if there is none, nothing is kept yet.
func readState(path string) (*state, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &state{sessions: make(map[string]*session), tokens: make(map[string]*token)}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	s, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("%w: put back a copy of the file, or remove it, which makes a new password and ends"+
			" sessions and API tokens", err)
	}
	return s, nil
}

func decode(b []byte) (*state, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	if r.Format > format {
		return nil, fmt.Errorf("it has format %d, and this version of Shoal knows %d at most", r.Format, format)
	}
	s, err := r.state()
	if err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	return s, nil
}

// state checks all that the rest counts on.
func (r *record) state() (*state, error) {
	if r.Format < 1 {
		return nil, errors.New("it has no format")
	}
	if len(r.Sessions) > maxSessions || len(r.Tokens) > maxTokens {
		return nil, errors.New("there are too many sessions or tokens")
	}
	s := &state{
		user: r.User, generated: r.Generated,
		sessions: make(map[string]*session, len(r.Sessions)), tokens: make(map[string]*token, len(r.Tokens)),
	}
	var err error
	if r.Password != "" {
		if s.own, err = parseHash(r.Password); err != nil {
			return nil, err
		}
	}
	if r.Set != "" {
		if s.set, err = parseHash(r.Set); err != nil {
			return nil, err
		}
	}
	for i, x := range r.Sessions {
		var sum [sha256.Size]byte
		if err := decodeSum(sum[:], x.ID); err != nil || s.sessions[x.ID] != nil {
			return nil, fmt.Errorf("session %d cannot be read", i)
		}
		s.sessions[x.ID] = &session{created: x.Created}
		s.sessions[x.ID].used.Store(x.Used)
	}
	for i, x := range r.Tokens {
		t := &token{id: x.ID, name: x.Name, role: x.Role, created: x.Created}
		t.used.Store(x.Used)
		if err := decodeSum(t.sum[:], x.Sum); err != nil || !validTokenID(x.ID) || checkName(x.Name) != nil ||
			!x.Role.known() || s.tokens[x.ID] != nil {
			return nil, fmt.Errorf("token %d cannot be read", i)
		}
		s.tokens[x.ID] = t
	}
	return s, nil
}

// decodeSum reads a checksum as it is written, in lower case, so that it has one spelling.
func decodeSum(sum []byte, text string) error {
	b, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	if len(b) != len(sum) || hex.EncodeToString(b) != text {
		return errors.New("not a checksum")
	}
	copy(sum, b)
	return nil
}

func validTokenID(id string) bool {
	return len(id) == tokenIDChars && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
