package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"shoal/nfsfs/xdr"
)

// sysCredential is an AUTH_SYS credential (RFC 5531, appendix A).
func sysCredential(machine string, uid, gid uint32, groups ...uint32) []byte {
	b := xdr.AppendOpaque(words(1234), machine)
	return xdr.AppendWords(xdr.AppendWords(b, uid, gid, uint32(len(groups))), groups...)
}

func TestParseCall(t *testing.T) {
	header := Header{XID: 7, Program: 100003, Version: 3, Proc: 6, Flavor: AuthSys, Credential: sysCredential("host", 1, 2, 3)}
	whole := AppendCall(nil, header)
	got, args, err := parseCall(append(slices.Clone(whole), "args"...))
	if err != nil || !reflect.DeepEqual(got, header) || string(args) != "args" {
		t.Errorf("%+v, %q, %v; want %+v and the arguments", got, args, err, header)
	}
	for n := range whole {
		if _, _, err := parseCall(whole[:n]); !errors.Is(err, ErrCall) {
			t.Errorf("the first %d bytes: %v, want %v", n, err, ErrCall)
		}
	}
}

func TestParseMalformedCall(t *testing.T) {
	whole := AppendCall(nil, Header{XID: 7, Program: 100003, Version: 3, Proc: 6})
	change := func(word int, v uint32) []byte {
		b := slices.Clone(whole)
		binary.BigEndian.PutUint32(b[4*word:], v)
		return b
	}
	tests := []struct {
		what string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrCall},
		{"a reply", change(1, 1), ErrCall},
		{"a message of another kind", change(1, 1<<31), ErrCall},
		{"RPC version 3", change(2, 3), errVersion},
		{"RPC version 1", change(2, 1), errVersion},
		{"a credential of 401 bytes", append(change(7, 401), make([]byte, 1000)...), ErrCall},
		{"a credential of 2^32-1 bytes", change(7, 1<<32-1), ErrCall},
		{"a credential that is not there", change(7, 12), ErrCall},
		{"a verifier that is not there", change(9, 4), ErrCall},
		{"a verifier of 401 bytes", append(change(9, 401), make([]byte, 1000)...), ErrCall},
		{"a verifier of 2^32-1 bytes", change(9, 1<<32-1), ErrCall},
		{"a credential of 400 bytes", append(change(7, 400), make([]byte, 400)...), nil},
		{"a verifier of 400 bytes", append(change(9, 400), make([]byte, 400)...), nil},
	}
	for _, test := range tests {
		h, _, err := parseCall(test.b)
		if !errors.Is(err, test.want) || errors.Is(err, errVersion) && h.XID != 7 {
			t.Errorf("%s: %+v, %v; want %v", test.what, h, err, test.want)
		}
	}
}

// replyTests has the replies of RFC 5531, section 9, word for word.
var replyTests = []struct {
	what   string
	status Status
	want   []uint32
}{
	{"SUCCESS", Success, []uint32{9, 1, 0, 0, 0, 0}},
	{"PROG_UNAVAIL", ProgramUnavailable, []uint32{9, 1, 0, 0, 0, 1}},
	{"PROG_MISMATCH", ProgramMismatch, []uint32{9, 1, 0, 0, 0, 2, 3, 4}},
	{"PROC_UNAVAIL", ProcedureUnavailable, []uint32{9, 1, 0, 0, 0, 3}},
	{"GARBAGE_ARGS", GarbageArgs, []uint32{9, 1, 0, 0, 0, 4}},
	{"SYSTEM_ERR", SystemError, []uint32{9, 1, 0, 0, 0, 5}},
	{"RPC_MISMATCH", otherVersion, []uint32{9, 1, 1, 0, 2, 2}},
	{"AUTH_BADCRED", BadCredential, []uint32{9, 1, 1, 1, 1}},
	{"AUTH_TOOWEAK", TooWeak, []uint32{9, 1, 1, 1, 5}},
}

func TestAppendReply(t *testing.T) {
	for _, test := range replyTests {
		got := appendReply([]byte("before"), 9, test.status, 3, 4)
		if want := append([]byte("before"), words(test.want...)...); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", test.what, got, want)
		}
		if xid, status, err := parseAnyReply(words(test.want...)); xid != 9 || status != test.status || err != nil {
			t.Errorf("%s reads as %d for %d, %v", test.what, status, xid, err)
		}
	}
}

func TestParseReply(t *testing.T) {
	for _, test := range replyTests {
		xid, result, err := ParseReply(append(words(test.want...), "result"...))
		if xid != 9 || (err == nil) != (test.status == Success) || err == nil && string(result) != "result" {
			t.Errorf("%s: %q for %d, %v", test.what, result, xid, err)
		}
	}
	verified := append(words(9, 1, 0, 6, 4, 1, 0), "result"...) // a verifier of 4 bytes
	if xid, result, err := ParseReply(verified); xid != 9 || string(result) != "result" || err != nil {
		t.Errorf("with a verifier: %q for %d, %v", result, xid, err)
	}
	for what, b := range map[string][]byte{
		"nothing":                      nil,
		"a call":                       words(9, 0, 0, 0, 0, 0),
		"two words":                    words(9, 1),
		"half a verifier":              words(9, 1, 0, 0),
		"a verifier of 401 bytes":      append(words(9, 1, 0, 0, 401), make([]byte, 500)...),
		"a verifier of 2^32-1 bytes":   words(9, 1, 0, 0, 1<<32-1, 0),
		"no accept_stat":               words(9, 1, 0, 0, 0),
		"a denial without a reason":    words(9, 1, 1),
		"something else than a denial": words(9, 1, 2, 0, 0, 0),
	} {
		if _, result, err := ParseReply(b); err == nil {
			t.Errorf("%s: %q and no error", what, result)
		}
	}
}

// credentialTests has credentials, and whether they are good ones.
var credentialTests = []struct {
	what   string
	flavor uint32
	body   []byte
	want   bool
}{
	{"AUTH_NONE", AuthNone, nil, true},
	{"AUTH_NONE with a body", AuthNone, []byte("body"), true},
	{"AUTH_SYS", AuthSys, sysCredential("host", 1, 2), true},
	{"AUTH_SYS without a name", AuthSys, sysCredential("", 1, 2), true},
	{"AUTH_SYS with 16 groups", AuthSys, sysCredential("host", 1, 2, make([]uint32, 16)...), true},
	{"AUTH_SYS with 17 groups", AuthSys, sysCredential("host", 1, 2, make([]uint32, 17)...), false},
	{"AUTH_SYS with a name of 255 bytes", AuthSys, sysCredential(strings.Repeat("x", 255), 1, 2), true},
	{"AUTH_SYS with a name of 256 bytes", AuthSys, sysCredential(strings.Repeat("x", 256), 1, 2), false},
	{"AUTH_SYS without a body", AuthSys, nil, false},
	{"AUTH_SYS that ends before the groups", AuthSys, sysCredential("host", 1, 2)[:20], false},
	{"AUTH_SYS with groups that are not there", AuthSys, append(sysCredential("host", 1, 2)[:20], words(1)...), false},
	{"AUTH_SYS with 2^32-1 groups", AuthSys, append(sysCredential("host", 1, 2)[:20], words(1<<32-1)...), false},
	{"AUTH_SYS with more behind it", AuthSys, append(sysCredential("host", 1, 2), words(1)...), false},
	{"AUTH_SHORT", 2, []byte("body"), false},
	{"AUTH_DH", 3, nil, false},
	{"RPCSEC_GSS", 6, words(1, 1, 0, 1, 0), false},
	{"a flavor of 2^32-1", 1<<32 - 1, nil, false},
}

func TestCredential(t *testing.T) {
	for _, test := range credentialTests {
		h := Header{Flavor: test.flavor, Credential: test.body}
		if got := h.checkCredential(); got != test.want {
			t.Errorf("%s is good: %v, want %v", test.what, got, test.want)
		}
	}
}

func TestIdentity(t *testing.T) {
	h := Header{Flavor: AuthSys, Credential: sysCredential("host", 1000, 100, 5)}
	if id, err := h.Identity(); err != nil || id != (Identity{"host", 1000, 100}) {
		t.Errorf("AUTH_SYS: %+v, %v", id, err)
	}
	h = Header{}
	if id, err := h.Identity(); err != nil || id != (Identity{"", 1<<32 - 2, 1<<32 - 2}) {
		t.Errorf("AUTH_NONE: %+v, %v; want nobody", id, err)
	}
	h = Header{Flavor: AuthSys, Credential: words(1, 400)}
	if id, err := h.Identity(); err == nil {
		t.Errorf("AUTH_SYS that is malformed: %+v and no error", id)
	}
}

func FuzzParseCall(f *testing.F) {
	for _, test := range credentialTests {
		f.Add(AppendCall(nil, Header{XID: 1, Program: 100005, Version: 3, Proc: 1, Flavor: test.flavor, Credential: test.body}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, args, err := parseCall(b)
		if err != nil {
			if !errors.Is(err, ErrCall) && !errors.Is(err, errVersion) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if len(h.Credential) > maxAuth || len(args) > len(b)-40 {
			t.Fatalf("a credential of %d and arguments of %d bytes out of %d", len(h.Credential), len(args), len(b))
		}
		good := h.checkCredential()
		if id, err := h.Identity(); good && (err != nil || len(id.Machine) > maxMachine) {
			t.Fatalf("a good credential is of %+v, %v", id, err)
		}
		again, rest, err := parseCall(append(AppendCall(nil, h), args...))
		if err != nil || again.XID != h.XID || !bytes.Equal(again.Credential, h.Credential) || !bytes.Equal(rest, args) {
			t.Fatalf("%+v comes back as %+v, %v", h, again, err)
		}
	})
}

func FuzzParseReply(f *testing.F) {
	for _, test := range replyTests {
		f.Add(words(test.want...))
	}
	f.Add(append(words(9, 1, 0, 6, 4, 1, 0), "result"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		xid, result, err := ParseReply(b)
		if err == nil && (len(result) > len(b)-24 || !bytes.HasSuffix(b, result) || xid != binary.BigEndian.Uint32(b)) {
			t.Fatalf("a result of %d bytes out of %d", len(result), len(b))
		}
		// Whoever is stricter must not accept what ParseReply refuses.
		if _, status, strictErr := parseAnyReply(b); strictErr == nil && (status == Success) != (err == nil) {
			t.Fatalf("status %d, and %v", status, err)
		}
	})
}
