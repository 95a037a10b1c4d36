package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"sync/atomic"
	"time"
)

const (
	// idleTime and lifeTime are how long a session is good since its last use, and since it began.
	idleTime = 7 * 24 * time.Hour
	lifeTime = 30 * 24 * time.Hour
	// maxSessions is how many there may be. One more ends the one that was not used for longest.
	maxSessions = 200
)

// session is one in which the user has logged in. Times are Unix seconds, as a session outlasts both the
// process and the sleep of the machine, which the monotonic clock does not.
type session struct {
	created int64
	used    atomic.Int64
}

func (s *session) alive(now time.Time) bool {
	t := now.Unix()
	return t-s.created < int64(lifeTime/time.Second) && t-s.used.Load() < int64(idleTime/time.Second)
}

// cookieBytes is how much of a cookie is random, 256 bits.
const cookieBytes = 32

// cookieChars is how long a cookie is.
var cookieChars = base64.RawURLEncoding.EncodedLen(cookieBytes)

// sessionID returns the id of the session that has the cookie. The cookie cannot be told from it.
func sessionID(cookie string) string {
	if len(cookie) != cookieChars {
		return ""
	}
	sum := sha256.Sum256([]byte(cookie))
	return hex.EncodeToString(sum[:])
}

// addSession begins a session for one whose password was checked against the hash, and returns its cookie.
func (a *Access) addSession(checked *hash) (cookie string, err error) {
	random := make([]byte, cookieBytes)
	_, _ = rand.Read(random) // never fails
	cookie = base64.RawURLEncoding.EncodeToString(random)
	now := time.Now().Unix()
	made := &session{created: now}
	made.used.Store(now)
	err = a.changeNow(func(s *state) error {
		if s.inForce() != checked { // the password was changed meanwhile
			return ErrWrong
		}
		if len(s.sessions) >= maxSessions {
			delete(s.sessions, s.idlest())
		}
		s.sessions[sessionID(cookie)] = made
		return nil
	})
	if err != nil {
		return "", err
	}
	return cookie, nil
}

// idlest returns the session that was not used for longest.
func (s *state) idlest() string {
	idlest := ""
	for id, other := range s.sessions {
		if idlest == "" || other.used.Load() < s.sessions[idlest].used.Load() {
			idlest = id
		}
	}
	return idlest
}

// Session returns whose session has the cookie. It counts as a use of it.
func (a *Access) Session(cookie string) (Who, bool) {
	id := sessionID(cookie)
	found := a.state.Load().sessions[id]
	now := time.Now()
	if found == nil || !found.alive(now) {
		return Who{}, false
	}
	found.used.Store(now.Unix())
	a.unsaved.Store(true)
	return Who{Name: a.user, Role: RoleAdmin, Session: id}, true
}

// LogOut ends the session that has the cookie, at once, if there is one.
func (a *Access) LogOut(cookie string) {
	id := sessionID(cookie)
	if a.state.Load().sessions[id] == nil {
		return
	}
	_ = a.changeNow(func(s *state) error { // fails only if this does
		delete(s.sessions, id)
		return nil
	})
}

// LogOutAll ends all sessions, at once.
func (a *Access) LogOutAll() {
	_ = a.changeNow(func(s *state) error { // fails only if this does
		clear(s.sessions)
		return nil
	})
}
