package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"
)

// answerTest is a call, and the words that the reply to it has to consist of.
type answerTest struct {
	what string
	call []byte
	want []uint32
}

// callWords is a call word for word, without arguments.
func callWords(program, version, proc, flavor uint32, credential []byte) []byte {
	b := words(77, 0, 2, program, version, proc, flavor, uint32(len(credential)))
	return append(append(b, credential...), words(0, 0)...)
}

// Procedures of answerOptions.
const (
	procEcho = 1 + iota
	procGarbage
	procFails
	procPanics
	procPanicsInTheMidst
	procAllowed
	procUnknown
)

// answerOptions serve the programs that the calls of friendTests and strangerTests are for.
func answerOptions(t testing.TB, allowed bool) Options {
	p := procs{
		procEcho:    echo,
		procGarbage: func(_ *Call, reply []byte) ([]byte, Status) { return append(reply, "half"...), GarbageArgs },
		procFails:   func(*Call, []byte) ([]byte, Status) { return nil, SystemError },
		procPanics:  func(*Call, []byte) ([]byte, Status) { panic("on purpose") },
		procPanicsInTheMidst: func(_ *Call, reply []byte) ([]byte, Status) {
			copy(append(reply, "the handler's"...), "rubbish that it leaves")
			panic("on purpose")
		},
		procAllowed: func(call *Call, reply []byte) ([]byte, Status) {
			if call.Allowed {
				return append(reply, words(1)...), Success
			}
			return append(reply, words(0)...), Success
		},
	}
	opts := testOptions(t, p)
	opts.Services = append(opts.Services, Service{Program: screenProgram, Versions: []uint32{1, 2, 3}, Handler: p, Screens: true})
	opts.Allowed = func(netip.Addr) bool { return allowed }
	return opts
}

// friendTests are the calls of clients that are allowed.
func friendTests() []answerTest {
	call := func(proc uint32) []byte { return callWords(testProgram, testVersion, proc, 0, nil) }
	sys := sysCredential("host", 0, 0)
	tests := []answerTest{
		{"NULL", call(0), []uint32{77, 1, 0, 0, 0, 0}},
		{"NULL with arguments", append(call(0), "abcd"...), []uint32{77, 1, 0, 0, 0, 0}},
		{"NULL of an older version", callWords(testProgram, 2, 0, 0, nil), []uint32{77, 1, 0, 0, 0, 0}},
		{"a result", append(call(procEcho), 0, 0, 0, 5, 0, 0, 0, 6), []uint32{77, 1, 0, 0, 0, 0, 5, 6}},
		{"no result", call(procEcho), []uint32{77, 1, 0, 0, 0, 0}},
		{"AUTH_SYS", callWords(testProgram, testVersion, procEcho, 1, sys), []uint32{77, 1, 0, 0, 0, 0}},
		{"AUTH_NONE with a body", callWords(testProgram, testVersion, procEcho, 0, sys), []uint32{77, 1, 0, 0, 0, 0}},
		{"another program", callWords(testProgram+10, 1, 0, 0, nil), []uint32{77, 1, 0, 0, 0, 1}},
		{"a version below", callWords(testProgram, 1, 0, 0, nil), []uint32{77, 1, 0, 0, 0, 2, 2, 4}},
		{"a version between", callWords(testProgram, 3, 1, 0, nil), []uint32{77, 1, 0, 0, 0, 2, 2, 4}},
		{"a version above", callWords(testProgram, 5, 1, 0, nil), []uint32{77, 1, 0, 0, 0, 2, 2, 4}},
		{"a version of the other program", callWords(screenProgram, 4, 1, 0, nil), []uint32{77, 1, 0, 0, 0, 2, 1, 3}},
		{"another procedure", call(procUnknown), []uint32{77, 1, 0, 0, 0, 3}},
		{"procedure 2^32-1", call(1<<32 - 1), []uint32{77, 1, 0, 0, 0, 3}},
		{"other arguments", call(procGarbage), []uint32{77, 1, 0, 0, 0, 4}},
		{"a failure", call(procFails), []uint32{77, 1, 0, 0, 0, 5}},
		{"a panic", call(procPanics), []uint32{77, 1, 0, 0, 0, 5}},
		{"a panic while it answers", call(procPanicsInTheMidst), []uint32{77, 1, 0, 0, 0, 5}},
		{"allowed", call(procAllowed), []uint32{77, 1, 0, 0, 0, 0, 1}},
		{"allowed by the handler", callWords(screenProgram, 2, procAllowed, 0, nil), []uint32{77, 1, 0, 0, 0, 0, 1}},
		{"RPC version 3", words(77, 0, 3, testProgram, testVersion, 0, 0, 0, 0, 0), []uint32{77, 1, 1, 0, 2, 2}},
		{"RPC version 1, and nothing more", words(77, 0, 1, 0, 0, 0), []uint32{77, 1, 1, 0, 2, 2}},
	}
	for _, test := range credentialTests {
		if !test.want && len(test.body) <= maxAuth {
			bad := callWords(testProgram, testVersion, procEcho, test.flavor, test.body)
			tests = append(tests, answerTest{test.what, bad, []uint32{77, 1, 1, 1, 1}})
		}
	}
	return tests
}

// strangerTests are the calls of clients that are not allowed.
func strangerTests() []answerTest {
	call := func(proc uint32) []byte { return callWords(testProgram, testVersion, proc, 0, nil) }
	return []answerTest{
		{"a stranger's NULL", call(0), []uint32{77, 1, 0, 0, 0, 0}},
		{"a stranger's call", call(procEcho), []uint32{77, 1, 1, 1, 5}},
		{"a stranger's panic", call(procPanics), []uint32{77, 1, 1, 1, 5}},
		{"a stranger's call of another procedure", call(procUnknown), []uint32{77, 1, 1, 1, 5}},
		{"a stranger's bad credential", callWords(testProgram, testVersion, 0, 6, nil), []uint32{77, 1, 1, 1, 1}},
		{"a stranger's call of another program", callWords(1, 1, 0, 0, nil), []uint32{77, 1, 0, 0, 0, 1}},
		{"a stranger's call of another version", callWords(testProgram, 3, 1, 0, nil), []uint32{77, 1, 0, 0, 0, 2, 2, 4}},
		{"a call that the handler screens", callWords(screenProgram, 2, procAllowed, 0, nil), []uint32{77, 1, 0, 0, 0, 0, 0}},
	}
}

// TestReplies has the replies of RFC 5531 word for word. All come over one connection: whatever a call
// was answered, the next one is, too.
func TestReplies(t *testing.T) {
	for allowed, tests := range map[bool][]answerTest{true: friendTests(), false: strangerTests()} {
		c := dial(t, start(t, "127.0.0.1:0", answerOptions(t, allowed)))
		for _, test := range tests {
			c.write(record(test.call))
			got := c.receive()
			if !bytes.Equal(got, words(test.want...)) {
				t.Errorf("%s: %x, want %x", test.what, got, words(test.want...))
			}
			if _, _, err := parseAnyReply(got); err != nil {
				t.Errorf("%s: %v", test.what, err)
			}
		}
	}
}

// notCalls are records that there is no reply to.
var notCalls = map[string][]byte{
	"an empty record":      {},
	"a byte":               {1},
	"a reply":              words(77, 1, 0, 0, 0, 0, 0),
	"half a header":        words(77, 0, 2, testProgram, testVersion),
	"half a credential":    words(77, 0, 2, testProgram, testVersion, 0, 0, 100, 0),
	"a credential of 2^32": words(77, 0, 2, testProgram, testVersion, 0, 0, 1<<32-1, 0, 0, 0),
	"no verifier":          words(77, 0, 2, testProgram, testVersion, 0, 0, 0),
}

// FuzzServerAnswer has any record answered as RFC 5531 says, or not at all.
func FuzzServerAnswer(f *testing.F) {
	for _, test := range append(friendTests(), strangerTests()...) {
		f.Add(test.call, true, true)
		f.Add(test.call, false, false)
	}
	for _, b := range notCalls {
		f.Add(b, true, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, allowed, stream bool) {
		opts := answerOptions(t, allowed)
		opts.Logger = slog.New(slog.DiscardHandler)
		s := &Server{opts: opts}
		call := Call{Allowed: allowed, Began: time.Now(), link: fuzzLink(stream)}
		before := []byte("what was there")
		got, status, err := s.answer(&call, b, before)
		reply, ok := bytes.CutPrefix(got, before)
		switch {
		case !ok:
			t.Fatalf("what was there is %q now", got)
		case err != nil || status == Dropped:
			if len(reply) > 0 || err != nil && !errors.Is(err, ErrCall) {
				t.Fatalf("%x, %d, %v; want no reply", reply, status, err)
			}
			return
		}
		xid, said, err := parseAnyReply(reply)
		if err != nil || said != status || xid != binary.BigEndian.Uint32(b) {
			t.Fatalf("reply to %d with status %d, %v; want status %d", xid, said, err, status)
		}
		reached := call.Proc != 0 && (status == Success || status == GarbageArgs || status == SystemError)
		if reached && !allowed && call.Program != screenProgram {
			t.Fatalf("a stranger's call reaches the handler: %d", status)
		}
	})
}

// fuzzLink is how a call came, of which only the kind matters.
type fuzzLink bool

func (l fuzzLink) stream() bool   { return bool(l) }
func (fuzzLink) reserve(int) bool { return true }

func (fuzzLink) later(*Call, func(context.Context), Answer) bool { return false }
