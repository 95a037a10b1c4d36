package xdr

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	var b []byte
	b = AppendUint32(b, 7)
	b = AppendUint64(b, 1<<63+5)
	b = AppendBool(b, true)
	b = AppendBool(b, false)
	b = AppendOpaque(b, "a name")
	b = AppendOpaque(b, []byte{})
	b = AppendWords(b, 1, 2)
	d := NewDecoder(b)
	if got := d.Uint32(); got != 7 {
		t.Errorf("Uint32: %d, want 7", got)
	}
	if got := d.Uint64(); got != 1<<63+5 {
		t.Errorf("Uint64: %d, want 2^63+5", got)
	}
	if !d.Bool() || d.Bool() {
		t.Error("the bools are not true and false")
	}
	if got := d.String(6); got != "a name" {
		t.Errorf("String: %q, want %q", got, "a name")
	}
	if got := d.Opaque(0); got == nil || len(got) > 0 {
		t.Errorf("an empty opaque: %v, want one that is empty and not nil", got)
	}
	if a, b := d.Uint32(), d.Uint32(); a != 1 || b != 2 {
		t.Errorf("words %d, %d; want 1, 2", a, b)
	}
	if err := d.Err(); err != nil || len(d.Rest()) > 0 {
		t.Errorf("at the end: %v and %d bytes, want neither", err, len(d.Rest()))
	}
}

func TestMalformed(t *testing.T) {
	tests := []struct {
		what string
		b    string
		take func(d *Decoder)
	}{
		{"an int of 3 bytes", "abc", func(d *Decoder) { d.Uint32() }},
		{"a hyper of 7 bytes", "abcdefg", func(d *Decoder) { d.Uint64() }},
		{"an opaque above its limit", "\x00\x00\x00\x05abcde\x00\x00\x00", func(d *Decoder) { d.Opaque(4) }},
		{"an opaque of 2^32-1 bytes", "\xff\xff\xff\xffabcd", func(d *Decoder) { d.Opaque(1<<31 - 1) }},
		{"an opaque without its padding", "\x00\x00\x00\x05abcde", func(d *Decoder) { d.Opaque(8) }},
		{"fixed bytes that are not there", "abcd", func(d *Decoder) { d.Fixed(5) }},
		{"fixed bytes of a negative number", "abcd", func(d *Decoder) { d.Fixed(-1) }},
		{"fixed bytes of the largest number", "abcd", func(d *Decoder) { d.Fixed(int(^uint(0) >> 1)) }},
	}
	for _, test := range tests {
		d := NewDecoder([]byte(test.b))
		test.take(&d)
		if !errors.Is(d.Err(), ErrShort) {
			t.Errorf("%s: %v, want %v", test.what, d.Err(), ErrShort)
		}
		if d.Uint32() != 0 || d.Opaque(100) != nil || d.String(100) != "" {
			t.Errorf("%s: a value comes after the failure", test.what)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03abc\x00"), 10)
	f.Add([]byte("\xff\xff\xff\xff"), 1<<31-1)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		d := NewDecoder(b)
		got := d.Opaque(max(limit, 0))
		if len(got) > len(b) || len(got) > max(limit, 0) {
			t.Errorf("%d bytes out of %d with a limit of %d", len(got), len(b), limit)
		}
		if d.Err() == nil {
			again := NewDecoder(AppendOpaque(nil, got))
			if !bytes.Equal(again.Opaque(len(got)), got) || again.Err() != nil {
				t.Errorf("%q does not come back", got)
			}
		}
	})
}

func TestAppendOpaqueAllocatesNothing(t *testing.T) {
	b, name := make([]byte, 0, 100), strings.Repeat("x", 13)
	if n := testing.AllocsPerRun(100, func() { b = AppendOpaque(b[:0], name) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
