package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fragment is b as a fragment of a record.
func fragment(last bool, b string) string {
	mark := uint32(len(b))
	if last {
		mark |= lastFragment
	}
	return string(binary.BigEndian.AppendUint32(nil, mark)) + b
}

func TestReadRecord(t *testing.T) {
	tests := []struct {
		what, stream, want string
		err                error
	}{
		{"one fragment", fragment(true, "hello"), "hello", nil},
		{"three fragments", fragment(false, "he") + fragment(false, "ll") + fragment(true, "o"), "hello", nil},
		{"an empty last fragment", fragment(false, "hello") + fragment(true, ""), "hello", nil},
		{"empty", fragment(true, ""), "", nil},
		{"as long as allowed", fragment(true, "0123456789"), "0123456789", nil},
		{"too long", fragment(true, "0123456789a"), "", ErrRecord},
		{"too long together", fragment(false, "012345") + fragment(true, "6789a"), "", ErrRecord},
		{"a length of 2^31-1", "\xff\xff\xff\xff", "", ErrRecord},
		{"an empty fragment", fragment(false, "") + fragment(true, "x"), "", ErrRecord},
		{"nothing", "", "", io.EOF},
		{"part of a mark", "\x80\x00", "", io.ErrUnexpectedEOF},
		{"cut off", fragment(true, "hello")[:7], "", io.ErrUnexpectedEOF},
		{"no last fragment", fragment(false, "hello"), "", io.EOF},
	}
	for _, test := range tests {
		for name, r := range map[string]io.Reader{
			"whole":         bytes.NewReader([]byte(test.stream)),
			"byte for byte": iotest.OneByteReader(bytes.NewReader([]byte(test.stream))),
		} {
			got, err := ReadRecord(r, 10)
			if string(got) != test.want || !errors.Is(err, test.err) {
				t.Errorf("%s, %s: %q, %v; want %q, %v", test.what, name, got, err, test.want, test.err)
			}
		}
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 4, 64 << 10, 200_000} {
		want := bytes.Repeat([]byte{7}, n)
		var buf bytes.Buffer
		if err := WriteRecord(&buf, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadRecord(&buf, 1<<20)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes come back as %d, %v", n, len(got), err)
		}
	}
}

func TestReaderEndsSlowRecords(t *testing.T) {
	client, server := net.Pipe()
	defer func() { _ = client.Close(); _ = server.Close() }()
	r := NewReader(server, 100, 10*time.Millisecond)
	go func() { _, _ = client.Write([]byte{0x80, 0}) }()
	var ne net.Error
	if _, err := r.Read(); !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("half a mark: %v, want a timeout", err)
	}
}

func TestParseCall(t *testing.T) {
	whole := AppendCall(nil, Call{XID: 7, Program: ProgramNFS, Ver: 3, Proc: 6})
	got, err := ParseCall(append(slices.Clone(whole), "args"...))
	want := Call{XID: 7, Program: ProgramNFS, Ver: 3, Proc: 6, Args: len(whole)}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for n := range whole {
		if _, err := ParseCall(whole[:n]); !errors.Is(err, ErrCall) {
			t.Errorf("the first %d bytes: %v, want %v", n, err, ErrCall)
		}
	}
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
		{"a reply", change(1, 1), ErrCall},
		{"RPC version 3", change(2, 3), ErrVersion},
		{"a credential of 401 bytes", append(change(7, 401), make([]byte, 1000)...), ErrCall},
		{"a credential of 2^32-1 bytes", change(7, 1<<32-1), ErrCall},
		{"a verifier that is not there", change(9, 4), ErrCall},
	}
	for _, test := range tests {
		if c, err := ParseCall(test.b); !errors.Is(err, test.want) || errors.Is(err, ErrVersion) && c.XID != 7 {
			t.Errorf("%s: %+v, %v; want %v", test.what, c, err, test.want)
		}
	}
}

// TestReplies has the replies of RFC 5531, section 9, word for word.
func TestReplies(t *testing.T) {
	c := Call{XID: 9}
	tests := []struct {
		what string
		got  []byte
		want []uint32
	}{
		{"success", c.Success(), []uint32{9, 1, 0, 0, 0, 0}},
		{"PROG_UNAVAIL", c.ProgramUnavailable(), []uint32{9, 1, 0, 0, 0, 1}},
		{"PROG_MISMATCH", c.ProgramMismatch(3, 4), []uint32{9, 1, 0, 0, 0, 2, 3, 4}},
		{"PROC_UNAVAIL", c.ProcedureUnavailable(), []uint32{9, 1, 0, 0, 0, 3}},
		{"GARBAGE_ARGS", c.GarbageArgs(), []uint32{9, 1, 0, 0, 0, 4}},
		{"RPC_MISMATCH", c.Mismatch(), []uint32{9, 1, 1, 0, 2, 2}},
		{"AUTH_TOOWEAK", c.TooWeak(), []uint32{9, 1, 1, 1, 5}},
	}
	for _, test := range tests {
		if want := words(nil, test.want...); !bytes.Equal(test.got, want) {
			t.Errorf("%s: %x, want %x", test.what, test.got, want)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add([]byte(fragment(false, "a") + fragment(true, "b")))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ReadRecord(bytes.NewReader(b), 100)
		if err == nil && len(got) > min(100, len(b)) {
			t.Errorf("%d bytes out of %d", len(got), len(b))
		}
	})
}

func FuzzParseCall(f *testing.F) {
	f.Add(AppendCall(nil, Call{XID: 1, Program: ProgramMount, Ver: 3, Proc: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCall(b); err == nil && (c.Args < 40 || c.Args > len(b)) {
			t.Errorf("the arguments begin at %d of %d", c.Args, len(b))
		}
	})
}
