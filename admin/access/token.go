package access

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxTokens    = 100
	maxNameRunes = 60

	tokenPrefix  = "shoal_"
	tokenIDChars = 8
)

// Token is what may be shown of an API token.
type Token struct {
	ID       string
	Name     string
	Role     Role
	Prefix   string // how its secret begins
	Created  time.Time
	LastUsed time.Time // zero if never
}

// token is what is kept of one. Times are Unix seconds.
type token struct {
	id      string
	name    string
	role    Role
	sum     [sha256.Size]byte // of the secret
	created int64
	used    atomic.Int64 // 0 if never
}

func (t *token) shown() Token {
	shown := Token{
		ID: t.id, Name: t.name, Role: t.role, Prefix: tokenPrefix + t.id, Created: time.Unix(t.created, 0),
	}
	if used := t.used.Load(); used != 0 {
		shown.LastUsed = time.Unix(used, 0)
	}
	return shown
}

// tokenID returns the id of the token that has the secret, if there is such a token.
func tokenID(secret string) string {
	rest, found := strings.CutPrefix(secret, tokenPrefix)
	id, _, separated := strings.Cut(rest, "_")
	if !found || !separated {
		return ""
	}
	return id
}

// AddToken makes an API token. The secret is not kept, so it has to be shown now. Errors are *InputError and
// *WriteError.
func (a *Access) AddToken(name string, role Role) (secret string, t Token, err error) {
	name = strings.TrimSpace(name)
	if err := checkName(name); err != nil {
		return "", Token{}, err
	}
	if !role.known() {
		return "", Token{}, inputErrorf("the role %.20q is none of admin, read and metrics", role)
	}
	made := &token{name: name, role: role, created: time.Now().Unix()}
	err = a.change(func(s *state) error {
		if len(s.tokens) >= maxTokens {
			return inputErrorf("there are %d API tokens already: remove one first", maxTokens)
		}
		for _, other := range s.tokens {
			if other.name == name {
				return inputErrorf("there is an API token called %q already", name)
			}
		}
		for made.id == "" || s.tokens[made.id] != nil {
			made.id = strings.ToLower(rand.Text()[:tokenIDChars])
		}
		secret = tokenPrefix + made.id + "_" + strings.ToLower(rand.Text()) // at least 128 bits
		made.sum = sha256.Sum256([]byte(secret))
		s.tokens[made.id] = made
		return nil
	})
	if err != nil {
		return "", Token{}, err
	}
	return secret, made.shown(), nil
}

// Tokens returns the API tokens, but for that of Options, by age.
func (a *Access) Tokens() []Token {
	kept := a.state.Load().tokens
	tokens := make([]Token, 0, len(kept))
	for _, t := range kept {
		tokens = append(tokens, t.shown())
	}
	slices.SortFunc(tokens, func(x, y Token) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.Name, y.Name))
	})
	return tokens
}

// RemoveToken makes a token worthless, at once. The error is ErrNotFound.
func (a *Access) RemoveToken(id string) error {
	return a.changeNow(func(s *state) error {
		if s.tokens[id] == nil {
			return ErrNotFound
		}
		delete(s.tokens, id)
		return nil
	})
}

// checkName refuses names that cannot be shown as they are, such as those with control characters or with some that
// turn the direction of what follows.
func checkName(name string) error {
	switch {
	case name == "":
		return inputErrorf("the name is empty")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return inputErrorf("the name has characters that cannot be shown")
	case utf8.RuneCountInString(name) > maxNameRunes:
		return inputErrorf("the name is longer than %d characters", maxNameRunes)
	}
	return nil
}
