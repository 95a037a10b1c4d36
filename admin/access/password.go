package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// cost is what a hash of argon2id takes.
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// defaultCost is the least that OWASP's Password Storage Cheat Sheet recommends: a hash is a few hundredths of
// a second, and small enough for an appliance with little memory.
var defaultCost = cost{memory: 19 * 1024, passes: 2, threads: 1}

// maxCost is the most that a hash in the file may take.
var maxCost = cost{memory: 256 * 1024, passes: 16, threads: 16}

const (
	saltBytes = 16
	keyBytes  = 32
)

// hash is what is kept of a password. It is not changed once it was made.
type hash struct {
	cost cost
	salt []byte
	key  []byte
}

func newHash(password string, c cost) *hash {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	return &hash{cost: c, salt: salt, key: c.derive(password, salt, keyBytes)}
}

func (c cost) derive(password string, salt []byte, length int) []byte {
	return argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.threads, uint32(length))
}

// matches takes as long for a right password as for a wrong one.
func (h *hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.cost.derive(password, h.salt, len(h.key)), h.key) == 1
}

// String returns the hash in the PHC string format.
func (h *hash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.cost.memory, h.cost.passes, h.cost.threads, b64(h.salt), b64(h.key))
}

var errHash = errors.New("the hash of a password is damaged")

// parseHash reads what String wrote, and nothing else.
func parseHash(s string) (*hash, error) {
	parts := strings.Split(s, "$")
	if len(s) > 512 || len(parts) != 6 {
		return nil, errHash
	}
	var h hash
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.cost.memory, &h.cost.passes, &h.cost.threads); err != nil {
		return nil, errHash
	}
	b64 := base64.RawStdEncoding.Strict()
	var saltErr, keyErr error
	h.salt, saltErr = b64.DecodeString(parts[4])
	h.key, keyErr = b64.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || h.String() != s {
		return nil, errHash
	}
	if c := h.cost; c.memory < 8*uint32(c.threads) || c.memory > maxCost.memory || c.passes < 1 ||
		c.passes > maxCost.passes || c.threads < 1 || c.threads > maxCost.threads {
		return nil, errHash
	}
	if len(h.salt) < 8 || len(h.salt) > 64 || len(h.key) < 16 || len(h.key) > 64 {
		return nil, errHash
	}
	return &h, nil
}

// generatePassword returns a password of 100 random bits that can be typed on a phone.
func generatePassword() string {
	text := strings.ToLower(rand.Text()) // at least 26 of a-z and 2-7
	return strings.Join([]string{text[:5], text[5:10], text[10:15], text[15:20]}, "-")
}

const (
	// maxHashing is how many passwords are hashed at a time: each takes memory and a processor.
	maxHashing = 2
	// maxQueue is how many there may be with those that wait for their turn.
	maxQueue = 16
	// maxQueueTime is how long one waits for its turn.
	maxQueueTime = 10 * time.Second
	// busyTime is after how long one who was turned away may try again.
	busyTime = 2 * time.Second
)

// hasher hashes passwords, a few at a time.
type hasher struct {
	cost  cost
	queue chan struct{}
	turns chan struct{}
}

func newHasher(c cost) *hasher {
	return &hasher{cost: c, queue: make(chan struct{}, maxQueue), turns: make(chan struct{}, maxHashing)}
}

// do calls work, which hashes, when it is its turn. Once it was called, the error is nil.
func (h *hasher) do(ctx context.Context, work func()) error {
	select {
	case h.queue <- struct{}{}:
	default:
		return &TooManyError{After: busyTime}
	}
	defer func() { <-h.queue }()
	late := time.NewTimer(maxQueueTime)
	defer late.Stop()
	select {
	case h.turns <- struct{}{}:
	case <-late.C:
		return &TooManyError{After: busyTime}
	case <-ctx.Done():
		return fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	defer func() { <-h.turns }()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait to check a password: %w", err)
	}
	work()
	return nil
}

// LogIn checks the password of a user who asks from addr, and returns the cookie of a new session. It takes as long
// for a user who is not there. Its errors are ErrWrong, *TooManyError, and the context's; it waits at most 10 s.
func (a *Access) LogIn(ctx context.Context, addr netip.Addr, user, password string) (cookie string, err error) {
	checked, err := a.check(ctx, addr, user, password)
	if err != nil {
		return "", err
	}
	return a.addSession(checked)
}

// check returns the hash that the password was checked against. Until it is known that the password is
// right, it counts as wrong, so that many at a time are no way round the back-off.
func (a *Access) check(ctx context.Context, addr netip.Addr, user, password string) (*hash, error) {
	if err := a.guard.begin(addr); err != nil {
		a.log.Debug("too many wrong passwords: this one was not looked at", "client", addr.String())
		return nil, err
	}
	given, wanted := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(a.user))
	right := subtle.ConstantTimeCompare(given[:], wanted[:])
	h := a.state.Load().inForce()
	if len(password) > maxSecret {
		right = 0
	} else if err := a.hasher.do(ctx, func() {
		if !h.matches(password) {
			right = 0
		}
	}); err != nil {
		a.guard.withdraw(addr)
		return nil, err
	}
	if right == 0 {
		a.log.Warn("a wrong user or password", "client", addr.String())
		return nil, ErrWrong
	}
	a.guard.succeed(addr)
	return h, nil
}

// ChangePassword replaces the password, which ends all sessions; tokens stay. A wrong current one counts as
// one in LogIn does, with the same errors; further ones are ErrSetElsewhere, *InputError and *WriteError.
func (a *Access) ChangePassword(ctx context.Context, addr netip.Addr, current, replacement string) error {
	if a.PasswordSet() {
		return ErrSetElsewhere
	}
	if err := a.checkReplacement(current, replacement); err != nil {
		return err
	}
	checked, err := a.check(ctx, addr, a.user, current)
	if err != nil {
		return err
	}
	var made *hash
	if err := a.hasher.do(ctx, func() { made = newHash(replacement, a.hasher.cost) }); err != nil {
		return err
	}
	err = a.change(func(s *state) error {
		if s.inForce() != checked { // somebody else was quicker
			return ErrWrong
		}
		s.own, s.generated = made, false
		clear(s.sessions)
		return nil
	})
	if err != nil {
		return err
	}
	a.first.Store(nil)
	a.log.Info("the password was changed; all sessions have ended", "client", addr.String())
	return nil
}

// minPassword is the shortest new password, in characters.
const minPassword = 8

func (a *Access) checkReplacement(current, replacement string) error {
	switch {
	case !utf8.ValidString(replacement) || strings.ContainsRune(replacement, 0):
		return inputErrorf("the new password has characters that cannot be read")
	case utf8.RuneCountInString(replacement) < minPassword:
		return inputErrorf("the new password needs at least %d characters", minPassword)
	case len(replacement) > maxSecret:
		return inputErrorf("the new password is longer than %d bytes", maxSecret)
	case strings.EqualFold(replacement, a.user):
		return inputErrorf("the new password must not be the user's name")
	case replacement == current:
		return inputErrorf("the new password is the same as the current one")
	}
	return nil
}
