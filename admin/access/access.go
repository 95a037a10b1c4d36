// Package access says who may use the admin site: one user with a password, the sessions in which he has
// logged in, and API tokens, each with a role.
//
// What has to survive a restart is one file, Options.Path, which has no secret in it: of passwords there is an
// argon2id hash, of sessions and tokens, which are random, SHA-256. What gives somebody a right (a password, a token)
// is durably in the file before it is good. What takes one away, and a new session, are good at once: if the file
// cannot be written then, which a full disk is enough for, that is logged, and tried again every few minutes.
//
// The package knows nothing of HTTP: package admin asks it about cookies and headers, and about what a role may do.
package access

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options say who the user is, and where the rest is kept.
type Options struct {
	Path string // of the file; its folder has to be there
	User string // "admin" if empty

	// Password is the user's, at most 1 KiB. If it is empty, it is the one in the file, which the site can change;
	// without one, a random one is made.
	Password string

	// Token is a bearer token with all rights that is not kept, at most 1 KiB; empty for none.
	Token string

	Logger *slog.Logger

	cost cost // of new hashes; zero for the default
}

// saveInterval is how often last uses are written, and what could not be written before.
const saveInterval = 5 * time.Minute

// maxSecret is the longest password or token that is looked at, in bytes. A longer one is wrong.
const maxSecret = 1024

// Access answers who may use the site. Its methods may be called by many at a time.
type Access struct {
	path   string
	user   string
	token  *[sha256.Size]byte // of Options.Token; nil for none
	log    *slog.Logger
	hasher *hasher
	guard  *backoff

	first atomic.Pointer[string] // the password that Open made, until somebody asks

	// state is what is in force. It is replaced as a whole, so that nobody who asks waits for the disk.
	state    atomic.Pointer[state]
	changing sync.Mutex  // over making the next state and writing it
	unsaved  atomic.Bool // the file is behind the state

	closing chan struct{}
	saver   sync.WaitGroup
}

// Open reads Options.Path, or makes it. An error names the file, or the option that is wrong. It takes as long as
// the disk, and some 0.1 s for hashing. Close has to be called at the end.
func Open(opts Options) (*Access, error) {
	opts.User = cmp.Or(opts.User, "admin")
	opts.cost = cmp.Or(opts.cost, defaultCost)
	if err := opts.check(); err != nil {
		return nil, err
	}
	s, err := readState(opts.Path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", opts.Path, err)
	}
	a := &Access{
		path: opts.Path, user: opts.User, log: opts.Logger,
		hasher: newHasher(opts.cost), guard: newBackoff(), closing: make(chan struct{}),
	}
	if opts.Token != "" {
		sum := sha256.Sum256([]byte(opts.Token))
		a.token = &sum
	}
	changed, first := s.settle(opts)
	if changed {
		if err := a.write(s); err != nil {
			return nil, err
		}
	}
	if first != "" {
		a.first.Store(&first)
	}
	a.state.Store(s)
	a.saver.Go(a.save)
	return a, nil
}

func (o *Options) check() error {
	if err := CheckUser(o.User); err != nil {
		return fmt.Errorf("the user's name: %w", err)
	}
	if err := CheckSecret(o.Password); err != nil {
		return fmt.Errorf("the password: %w", err)
	}
	if err := CheckSecret(o.Token); err != nil {
		return fmt.Errorf("the API token: %w", err)
	}
	return nil
}

// CheckUser says what is wrong with Options.User, unless it is empty, with an *InputError.
func CheckUser(name string) error { return checkName(name) }

// CheckSecret says what is wrong with Options.Password or Options.Token, with an *InputError.
func CheckSecret(secret string) error {
	if len(secret) > maxSecret {
		return inputErrorf("it is longer than %d bytes", maxSecret)
	}
	return nil
}

// settle puts the password of the options in force, or one that it makes and returns. Another password or
// user than in the file ends all sessions.
func (s *state) settle(opts Options) (changed bool, first string) {
	before := s.inForce()
	switch {
	case opts.Password != "":
		if s.set == nil || !s.set.matches(opts.Password) {
			s.set = newHash(opts.Password, opts.cost)
		}
	default:
		s.set = nil
		if s.own == nil {
			first = generatePassword()
			s.own, s.generated = newHash(first, opts.cost), true
		}
	}
	if s.inForce() == before && s.user == opts.User {
		return false, ""
	}
	s.user = opts.User
	clear(s.sessions)
	return true, first
}

// Close writes what is not yet written, and returns what is wrong with that. Nothing else may be called after it.
func (a *Access) Close() error {
	close(a.closing)
	a.saver.Wait()
	return a.saveNow()
}

// FirstPassword returns the password that Open made, once; then, and if it made none, "".
func (a *Access) FirstPassword() string {
	if p := a.first.Swap(nil); p != nil {
		return *p
	}
	return ""
}

// Generated says whether the password is still one that Open made, so that it should be changed.
func (a *Access) Generated() bool {
	s := a.state.Load()
	return s.set == nil && s.generated
}

// PasswordSet says whether Options.Password is in force, so that ChangePassword would return ErrSetElsewhere.
func (a *Access) PasswordSet() bool { return a.state.Load().set != nil }

// User returns the user's name.
func (a *Access) User() string { return a.user }

// Role is what somebody may do.
type Role string

// The roles. What they may do is up to the caller of this package.
const (
	RoleAdmin   Role = "admin"   // all
	RoleRead    Role = "read"    // what changes nothing
	RoleMetrics Role = "metrics" // metrics alone
)

func (r Role) known() bool { return r == RoleAdmin || r == RoleRead || r == RoleMetrics }

// Who is somebody who may use the site.
type Who struct {
	Name    string // of the user or token
	Role    Role
	Session string // its id, which is no secret; empty for tokens
	Token   string // its id; empty for sessions
}

// environmentID is the id of Options.Token. Those of other tokens have another length.
const environmentID = "environment"

// Valid says whether who's session or token is still good, for answers that take long. It does not count as a use.
func (a *Access) Valid(who Who) bool {
	s := a.state.Load()
	switch {
	case who.Session != "":
		found := s.sessions[who.Session]
		return found != nil && found.alive(time.Now())
	case who.Token == environmentID:
		return a.token != nil
	}
	return s.tokens[who.Token] != nil
}

// Bearer returns whose the API token is. It counts as a use of it.
func (a *Access) Bearer(secret string) (Who, bool) {
	if secret == "" || len(secret) > maxSecret {
		return Who{}, false
	}
	sum := sha256.Sum256([]byte(secret))
	if a.token != nil && subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1 {
		return Who{Name: environmentID, Role: RoleAdmin, Token: environmentID}, true
	}
	t := a.state.Load().tokens[tokenID(secret)]
	if t == nil || subtle.ConstantTimeCompare(sum[:], t.sum[:]) != 1 {
		return Who{}, false
	}
	t.used.Store(time.Now().Unix())
	a.unsaved.Store(true)
	return Who{Name: t.name, Role: t.role, Token: t.id}, true
}

// change makes what edit makes of the state durable, and then puts it in force. If edit or writing fails,
// nothing has changed.
func (a *Access) change(edit func(*state) error) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	next := a.state.Load().clone(time.Now())
	if err := edit(next); err != nil {
		return err
	}
	if err := a.write(next); err != nil {
		return err
	}
	a.state.Store(next)
	return nil
}

// changeNow puts what edit makes of the state in force, even if it cannot be written.
func (a *Access) changeNow(edit func(*state) error) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	next := a.state.Load().clone(time.Now())
	if err := edit(next); err != nil {
		return err
	}
	a.state.Store(next)
	if err := a.write(next); err != nil {
		a.log.Error("sessions and tokens could not be written; this is tried again", "err", err)
	}
	return nil
}

// write makes s durable.
func (a *Access) write(s *state) error {
	a.unsaved.Store(false) // before s is looked at: a use that comes now is written the next time
	if err := writeDurably(a.path, s.encode()); err != nil {
		a.unsaved.Store(true)
		return &WriteError{Err: fmt.Errorf("write %s: %w", a.path, err)}
	}
	return nil
}

// save writes last uses until Close.
func (a *Access) save() {
	tick := time.NewTicker(saveInterval)
	defer tick.Stop()
	for {
		select {
		case <-a.closing:
			return
		case <-tick.C:
			if err := a.saveNow(); err != nil {
				a.log.Error("sessions and tokens could not be written; this is tried again", "err", err)
			}
		}
	}
}

func (a *Access) saveNow() error {
	a.changing.Lock()
	defer a.changing.Unlock()
	if !a.unsaved.Load() {
		return nil
	}
	return a.write(a.state.Load())
}

var (
	// ErrWrong is returned for a wrong user or password; it does not say which.
	ErrWrong = errors.New("the user or the password is wrong")
	// ErrSetElsewhere is returned for changing a password that Options.Password sets.
	ErrSetElsewhere = errors.New("the password is set by SHOAL_ADMIN_PASSWORD, and can be changed only there")
	// ErrNotFound is returned for a token that is not there.
	ErrNotFound = errors.New("there is no such API token")
)

// InputError says in one sentence what is wrong with something that a user gave.
type InputError struct{ Reason string }

func (e *InputError) Error() string { return e.Reason }

func inputErrorf(format string, args ...any) error {
	return &InputError{Reason: fmt.Sprintf(format, args...)}
}

// WriteError says that a change could not be written to Options.Path. It was not made.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }
