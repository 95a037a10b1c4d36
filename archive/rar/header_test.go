package rar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"strings"
	"testing"
	"time"

	"shoal/archive/rar/rartest"
)

// plainVolumes are volumes in memory.
type plainVolumes [][]byte

func (p plainVolumes) Open(n int) (io.ReaderAt, int64, error) {
	if n >= len(p) {
		return nil, 0, fs.ErrNotExist
	}
	return bytes.NewReader(p[n]), int64(len(p[n])), nil
}

// archive4 and archive5 return a volume with those headers behind the main header.
func archive4(headers ...[]byte) []byte {
	b := append([]byte("Rar!\x1a\x07\x00"), rartest.Header4(0x73, 0, make([]byte, 6))...)
	return append(b, bytes.Join(headers, nil)...)
}

func archive5(headers ...[]byte) []byte {
	b := append([]byte("Rar!\x1a\x07\x01\x00"), rartest.Header5(1, 0, []byte{0}, nil, -1, 1)...)
	return append(b, bytes.Join(headers, nil)...)
}

// fields4 are those of a file header of format 4.
type fields4 struct {
	flags          uint16
	packed, size   uint32
	os             byte
	time           uint32
	unpack, method byte
	attributes     uint32
	high           []byte // the upper halves of the sizes
	name           string
	rest           []byte
}

func (f fields4) header() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, f.packed)
	b = le.AppendUint32(b, f.size)
	b = append(b, f.os)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, f.time)
	b = append(b, f.unpack, f.method)
	b = le.AppendUint16(b, uint16(len(f.name)))
	b = le.AppendUint32(b, f.attributes)
	b = append(b, f.high...)
	b = append(b, f.name...)
	return rartest.Header4(0x74, 0x8000|f.flags, append(b, f.rest...))
}

func TestDecode4(t *testing.T) {
	when := rartest.DOSTime(rartest.Time)
	for _, c := range []struct {
		what string
		in   fields4
		want func(m *Member) bool
	}{
		{"unix", fields4{os: 3, attributes: 0o104755, method: '0', name: "x", time: when}, func(m *Member) bool {
			return m.HostOS == Unix && m.Mode == 0o755 && m.Name == "x" && !m.UTF8 && m.ModTime.Equal(rartest.Time) && m.Method == Stored
		}},
		{"windows", fields4{os: 2, attributes: 1, method: '0'}, func(m *Member) bool { return m.HostOS == Windows && m.Mode == 0o444 }},
		{"DOS folder", fields4{os: 0, attributes: 0x10, flags: 0xe0, method: '0'}, func(m *Member) bool {
			return m.HostOS == DOS && m.Mode == fs.ModeDir|0o755
		}},
		{"folder by its attributes, of version 1.5", fields4{unpack: 15, attributes: 0x10, method: '0'}, func(m *Member) bool {
			return m.IsDir()
		}},
		{"no folder since version 2.0", fields4{unpack: 20, attributes: 0x10, method: '0'}, func(m *Member) bool { return !m.IsDir() }},
		{"folder by its flags", fields4{os: 3, attributes: 0o100644, flags: 0xe0, method: '0'}, func(m *Member) bool {
			return m.Mode == fs.ModeDir|0o644
		}},
		{"unknown system", fields4{os: 9, method: '0'}, func(m *Member) bool { return m.HostOS == OtherOS && m.Mode == 0o644 }},
		{"link", fields4{os: 3, attributes: 0o120777, method: '0'}, func(m *Member) bool {
			return m.LinkKind == Symlink && m.Mode&fs.ModeSymlink != 0
		}},
		{"device", fields4{os: 3, attributes: 0o020777, method: '0'}, func(m *Member) bool {
			return m.Mode == fs.ModeDevice|fs.ModeCharDevice|0o777
		}},
		{"compressed", fields4{flags: 0x60, unpack: 29, method: '3'}, func(m *Member) bool {
			return m.Method == 3 && m.Unpack == 29 && m.Dictionary == 512<<10 && m.Problem == "" && !m.Plain()
		}},
		{"solid", fields4{flags: 0x10, unpack: 29, method: '5'}, func(m *Member) bool { return m.Solid && m.Method == 5 }},
		{"encrypted", fields4{flags: 4, method: '0'}, func(m *Member) bool { return m.Encrypted && m.Problem == "encrypted" }},
		{"unknown method", fields4{unpack: 29, method: '6'}, func(m *Member) bool { return strings.Contains(m.Problem, "method, 6") }},
		{"method below", fields4{unpack: 29, method: 0}, func(m *Member) bool { return strings.Contains(m.Problem, "method") }},
		{"unknown version", fields4{unpack: 99, method: '3'}, func(m *Member) bool { return strings.Contains(m.Problem, "version") }},
		{"large", fields4{flags: 0x100, size: 5, high: []byte{0, 0, 0, 0, 2, 0, 0, 0}, method: '0'}, func(m *Member) bool {
			return m.Size == 2<<32+5
		}},
		{"just below 4 GiB", fields4{flags: 0x100, size: 0xffffffff, high: make([]byte, 8), method: '0'}, func(m *Member) bool {
			return m.Size == 1<<32-1
		}},
		{"unknown size", fields4{size: 0xffffffff, method: '3', unpack: 29}, func(m *Member) bool {
			return m.Size == -1 && strings.Contains(m.Problem, "size")
		}},
		{"unknown large size", fields4{flags: 0x100, size: 0xffffffff, high: []byte("\x00\x00\x00\x00\xff\xff\xff\xff"), method: '0'}, func(m *Member) bool {
			return m.Size == -1
		}},
		{"version", fields4{flags: 0x800, name: "a;b;12", method: '0'}, func(m *Member) bool { return m.Name == "a;b" && m.Version == 12 }},
		{"no version", fields4{flags: 0x800, name: "a;b", method: '0'}, func(m *Member) bool { return m.Name == "a;b" && m.Version == 0 }},
		{"no version wanted", fields4{name: "a;1", method: '0'}, func(m *Member) bool { return m.Name == "a;1" && m.Version == 0 }},
		{"UTF-16", fields4{flags: 0x200, name: string(rartest.EncodeName4("é漢𝄞")), method: '0'}, func(m *Member) bool {
			return m.Name == "é漢𝄞" && m.UTF8
		}},
		{"UTF-8", fields4{flags: 0x200, name: "é", method: '0'}, func(m *Member) bool { return m.Name == "é" && m.UTF8 }},
		{"no UTF-8", fields4{flags: 0x200, name: "\xe9", method: '0'}, func(m *Member) bool { return m.Name == "\xe9" && !m.UTF8 }},
		{"salt and times", fields4{flags: 0x1400, time: when, method: '0', rest: []byte{1, 2, 3, 4, 5, 6, 7, 8, 0x00, 0xf0, 0x01, 0x02, 0x03}}, func(m *Member) bool {
			return m.ModTime.Equal(rartest.Time.Add(time.Second + 0x030201*100))
		}},
		{"2 bytes of time", fields4{flags: 0x1000, time: when, method: '0', rest: []byte{0x00, 0xa0, 0x02, 0x03}}, func(m *Member) bool {
			return m.ModTime.Equal(rartest.Time.Add(0x030200 * 100))
		}},
		{"time of creation only", fields4{flags: 0x1000, time: when, method: '0', rest: []byte{0x00, 0x09, 1, 2, 3, 4, 5}}, func(m *Member) bool {
			return m.ModTime.Equal(rartest.Time)
		}},
		{"no time", fields4{method: '0'}, func(m *Member) bool { return m.ModTime.IsZero() }},
	} {
		h, err := decode4(c.in.header())
		if err != nil || h.kind != fileHeader || !c.want(&h.member) {
			t.Errorf("%s: %v, %+v", c.what, err, h)
		}
	}
}

func TestUnixMode(t *testing.T) {
	for in, want := range map[uint64]fs.FileMode{
		0o100644: 0o644, 0o106755: 0o755, 0o040700: fs.ModeDir | 0o700, 0o120777: fs.ModeSymlink | 0o777, 0o140600: fs.ModeSocket | 0o600,
		0o060600: fs.ModeDevice | 0o600, 0o020600: fs.ModeDevice | fs.ModeCharDevice | 0o600, 0o010600: fs.ModeNamedPipe | 0o600, 0o644: 0o644,
	} {
		if got := unixMode(in); got != want {
			t.Errorf("%o: %v, want %v", in, got, want)
		}
	}
}

// TestDecode4Damaged has what is no header, and headers with something behind what their CRC covers.
func TestDecode4Damaged(t *testing.T) {
	whole := fields4{name: "name", method: '0', flags: 0x1400, rest: make([]byte, 10)}.header()
	for n := minHeader4; n < len(whole); n++ {
		b := append([]byte{}, whole[:n]...)
		binary.LittleEndian.PutUint16(b[5:], uint16(n))
		binary.LittleEndian.PutUint16(b, uint16(crc32.ChecksumIEEE(b[2:])))
		if h, err := decode4(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes of %d: %+v, %v", n, len(whole), h, err)
		}
	}
	for i := range whole {
		b := append([]byte{}, whole...)
		b[i] ^= 0x10
		h, err := decode4(b)
		if i != 2 && i != 5 && i != 6 && !errors.Is(err, ErrFormat) {
			t.Errorf("byte %d changed: %+v, %v", i, h, err)
		}
	}
	for what, huge := range map[string]fields4{
		"2⁶³ bytes of data":            {flags: 0x100, high: []byte{0, 0, 0, 0x80, 0, 0, 0, 0}, method: '0'},
		"2⁶³ bytes":                    {flags: 0x100, high: []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, method: '0'},
		"2⁶³ of data, an unknown size": {flags: 0x100, size: 0xffffffff, high: []byte("\x00\x00\x00\x80\xff\xff\xff\xff"), method: '3', unpack: 29},
		"data that go back to the start of the header, an unknown size": {
			flags: 0x100, packed: 0xffffffd8, size: 0xffffffff, high: []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), method: '3', unpack: 29,
		},
	} {
		if h, err := decode4(huge.header()); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %+v, %v", what, h, err)
		}
	}
	comment := fields4{flags: 8, name: "x", method: '0'}.header()
	comment = append(comment, "any comment"...)
	if h, err := decode4(comment); err != nil || h.member.Name != "x" {
		t.Errorf("with a comment: %+v, %v", h, err)
	}
	main := append(rartest.Header4(0x73, 2, make([]byte, 6)), "any comment"...)
	if h, err := decode4(main); err != nil || h.kind != mainHeader {
		t.Errorf("a main header with a comment: %+v, %v", h, err)
	}
	if h, err := decode4([]byte{1, 2, 0x79, 0, 0x80, 11, 0, 7, 0, 0, 0}); err != nil || h.kind != otherHeader || h.data != 7 {
		t.Errorf("a signature: %+v, %v", h, err)
	}
}

// file5Header returns a file header of format 5.
func file5Header(flags, size, attributes uint64, times []byte, compression, os uint64, name string, extra []byte) []byte {
	b := rartest.Vint(nil, flags, 1)
	b = rartest.Vint(b, size, 1)
	b = rartest.Vint(b, attributes, 1)
	b = append(b, times...)
	b = rartest.Vint(b, compression, 1)
	b = rartest.Vint(b, os, 1)
	b = rartest.Vint(b, uint64(len(name)), 1)
	return rartest.Header5(2, 0, append(b, name...), extra, -1, 1)
}

func TestDecode5(t *testing.T) {
	le := binary.LittleEndian
	seconds := le.AppendUint32(nil, uint32(rartest.Time.Unix()))
	record := rartest.Record5
	// 2020-02-29 12:34:56.1234567 as a FILETIME.
	windows := le.AppendUint64(nil, uint64(rartest.Time.Unix()+11644473600)*10_000_000+1234567)
	for _, c := range []struct {
		what string
		in   []byte
		want func(m *Member) bool
	}{
		{"unix", file5Header(2, 7, 0o104755, seconds, 0, 1, "é", nil), func(m *Member) bool {
			return m.Size == 7 && m.HostOS == Unix && m.Mode == 0o755 && m.Name == "é" && m.UTF8 && m.ModTime.Equal(rartest.Time) && !m.HasCRC
		}},
		{"CRC", file5Header(4, 7, 0, []byte{1, 2, 3, 4}, 0, 1, "\xff", nil), func(m *Member) bool {
			return m.HasCRC && m.CRC == 0x04030201 && !m.UTF8
		}},
		{"windows", file5Header(0, 7, 0x21, nil, 0, 0, "x", nil), func(m *Member) bool { return m.HostOS == Windows && m.Mode == 0o444 }},
		{"folder", file5Header(1, 0, 0x10, nil, 0, 0, "x", nil), func(m *Member) bool { return m.Mode == fs.ModeDir|0o755 }},
		{"folder by its flag", file5Header(1, 0, 0o100700, nil, 3<<7, 1, "x", nil), func(m *Member) bool {
			return m.Mode == fs.ModeDir|0o700 && m.Method == Stored && m.Dictionary == 0
		}},
		{"no folder", file5Header(0, 0, 0o040700, nil, 0, 1, "x", nil), func(m *Member) bool { return m.Mode == 0o700 }},
		{"compressed", file5Header(0, 7, 0, nil, 0x40|3<<7|4<<10, 1, "x", nil), func(m *Member) bool {
			return m.Method == 3 && m.Unpack == 50 && m.Dictionary == 2<<20 && m.Solid && m.Problem == ""
		}},
		{"by RAR 7", file5Header(0, 7, 0, nil, 1|5<<7|17<<10|16<<15, 1, "x", nil), func(m *Member) bool {
			return m.Unpack == 70 && m.Dictionary == 24<<30
		}},
		{"largest dictionary", file5Header(0, 7, 0, nil, 1|5<<7|31<<10|31<<15|1<<20, 1, "x", nil), func(m *Member) bool {
			return m.Unpack == 50 && m.Dictionary == 1<<48+31<<43
		}},
		{"by RAR 8", file5Header(0, 7, 0, nil, 2|5<<7, 1, "x", nil), func(m *Member) bool {
			return strings.Contains(m.Problem, "version")
		}},
		{"method 6", file5Header(0, 7, 0, nil, 6<<7, 1, "x", nil), func(m *Member) bool {
			return strings.Contains(m.Problem, "method, 6")
		}},
		{"unknown size", file5Header(8, 7, 0, nil, 0, 1, "x", nil), func(m *Member) bool { return m.Size == -1 && m.Problem != "" }},
		{"huge size", file5Header(0, 1<<63, 0, nil, 0, 1, "x", nil), func(m *Member) bool { return m.Size == -1 && m.Problem != "" }},
		{"encrypted", file5Header(0, 7, 0, nil, 0, 1, "x", record(1, make([]byte, 34))), func(m *Member) bool {
			return m.Encrypted && m.Problem == "encrypted"
		}},
		{"FILETIME", file5Header(0, 7, 0, nil, 0, 1, "x", record(3, append([]byte{2}, windows...))), func(m *Member) bool {
			return m.ModTime.Equal(rartest.Time.Add(123456700))
		}},
		{"seconds", file5Header(0, 7, 0, nil, 0, 1, "x", record(3, append([]byte{3}, seconds...))), func(m *Member) bool {
			return m.ModTime.Equal(rartest.Time)
		}},
		{"nanoseconds", file5Header(0, 7, 0, nil, 0, 1, "x", record(3, append(append([]byte{0x17}, seconds...), 9, 9, 9, 9, 5, 0, 0, 0))), func(m *Member) bool {
			return m.ModTime.Equal(rartest.Time.Add(5))
		}},
		{"cut time", file5Header(2, 7, 0, seconds, 0, 1, "x", record(3, []byte{2, 1, 2, 3})), func(m *Member) bool {
			return m.ModTime.Equal(rartest.Time)
		}},
		{"other time", file5Header(2, 7, 0, seconds, 0, 1, "x", record(3, append([]byte{4}, windows...))), func(m *Member) bool {
			return m.ModTime.Equal(rartest.Time)
		}},
		{"version", file5Header(0, 7, 0, nil, 0, 1, "x", record(4, []byte{0, 3})), func(m *Member) bool {
			return m.Version == 3 && m.Name == "x"
		}},
		{"link", file5Header(0, 0, 0o120777, nil, 0, 1, "x", record(5, []byte{1, 0, 2, '.', '/'})), func(m *Member) bool {
			return m.LinkKind == Symlink && m.Link == "./" && m.Mode == fs.ModeSymlink|0o777
		}},
		{"link of windows", file5Header(0, 0, 0x20, nil, 0, 0, "x", record(5, []byte{3, 1, 1, 'a'})), func(m *Member) bool {
			return m.LinkKind == WindowsSymlink && m.Link == "a" && m.Mode&fs.ModeSymlink != 0
		}},
		{"hard link to a folder", file5Header(0, 0, 0, nil, 0, 0, "x", record(5, []byte{4, 1, 1, 'a'})), func(m *Member) bool {
			return m.Problem != ""
		}},
		{"unknown link", file5Header(0, 0, 0, nil, 0, 0, "x", record(5, []byte{6, 0, 1, 'a'})), func(m *Member) bool {
			return m.Problem != ""
		}},
		{"cut link", file5Header(0, 0, 0, nil, 0, 0, "x", record(5, []byte{1, 0, 2, 'a'})), func(m *Member) bool {
			return m.Problem != "" && m.Link == ""
		}},
		{"record after an unknown one", file5Header(0, 7, 0, nil, 0, 1, "x", append(record(77, []byte{1, 2}), record(4, []byte{0, 3})...)), func(m *Member) bool {
			return m.Version == 3
		}},
		{"damaged records", file5Header(0, 7, 0, nil, 0, 1, "x", append(record(4, []byte{0, 3}), 99, 4)), func(m *Member) bool {
			return m.Version == 3
		}},
	} {
		h, err := decode5(c.in)
		if err != nil || h.kind != fileHeader || !c.want(&h.member) {
			t.Errorf("%s: %v, %+v", c.what, err, h)
		}
	}
}

func TestDecode5Damaged(t *testing.T) {
	seal := func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
		return b
	}
	whole := file5Header(6, 7, 0, make([]byte, 8), 0, 1, "name", nil)
	for n := 5; n < len(whole); n++ {
		b := append([]byte{}, whole[:n]...)
		b[4] = byte(n - 5)
		if h, err := decode5(seal(b)); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes of %d: %+v, %v", n, len(whole), h, err)
		}
	}
	for i := range whole {
		b := append([]byte{}, whole...)
		b[i] ^= 0x10
		if h, err := decode5(b); !errors.Is(err, ErrFormat) {
			t.Errorf("byte %d changed: %+v, %v", i, h, err)
		}
	}
	extra := rartest.Header5(2, 1, rartest.Vint(nil, 1000, 1), nil, -1, 1)
	if h, err := decode5(extra); !errors.Is(err, ErrFormat) {
		t.Errorf("more records than header: %+v, %v", h, err)
	}
	data := rartest.Header5(9, 2, bytes.Repeat([]byte{0xff}, 8), nil, -1, 1)
	if h, err := decode5(append(data, 0xff, 0x01)); !errors.Is(err, ErrFormat) {
		t.Errorf("data of 2⁶⁴ bytes: %+v, %v", h, err)
	}
	if h, err := decode5(rartest.Header5(9, 0, []byte("any"), nil, 5, 3)); err != nil || h.kind != otherHeader || h.data != 5 {
		t.Errorf("a header of an unknown type: %+v, %v", h, err)
	}
}

func TestVint(t *testing.T) {
	for _, x := range []uint64{0, 1, 127, 128, 1 << 14, 1<<63 - 1, 1 << 63, math.MaxUint64} {
		for width := 1; width <= 10; width++ {
			b := rartest.Vint(nil, x, width)
			f := &fields{b: append(b, 0x55)}
			if got := f.vint(); got != x || f.short || len(f.b) != 1 {
				t.Errorf("%d in %d bytes: %d, %v, %d left", x, len(b), got, f.short, len(f.b))
			}
			for n := range b {
				f := &fields{b: b[:n]}
				if got := f.vint(); got != 0 || !f.short {
					t.Errorf("%d of %d bytes: %d", n, len(b), got)
				}
			}
		}
	}
	for _, b := range []string{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"} {
		if f := (&fields{b: []byte(b)}); f.vint() != 0 || !f.short {
			t.Errorf("%x is a number", b)
		}
	}
}

// TestDecodeName4 has each operation. The 8-bit names are as Windows writes them, with a _ for what it has no letter for.
func TestDecodeName4(t *testing.T) {
	for _, c := range []struct {
		in, want string
		unicode  bool
	}{
		{"ab\x00\x04\x00ab", "ab", true},                                                // as they are
		{"__\x00\x04\x50\x30\x31", "аб", true},                                          // with the high byte: U+0430, U+0431
		{"__\x00\x00\xa0\x22\x6f\x57\x5b", "漢字", true},                                  // any: U+6F22, U+5B57
		{"abcd\x00\x00\xc0\x02", "abcd", true},                                          // a run of what the short name has
		{"abcd\x00\x04\xc0\x82\xcf", "абвг", true},                                      // moved by a number: a (0x61) + 0xcf = 0x30
		{"abcdef\x00\x04\xd0\x01\x36", "abcж", true},                                    // a run and one more
		{"_bcdefg\x00\x04\x70\x36\x7f", "жbcdefg", true},                                // a run that goes past the end
		{"abcde\x00\x00\x00abcd\x00e", "abcde", true},                                   // the second group of four
		{"ab\x00", "ab", false},                                                         // nothing to make it of
		{"ab\x00\x04", "ab", false},                                                     // no operation
		{"ab\x00\x04\xa0\x22", "ab", false},                                             // cut in a character
		{"ab\x00\x04\xc0", "ab", false},                                                 // cut in a run
		{"abc\x00\x00\xc0\x80", "abc", false},                                           // cut in a moved run
		{"\x00\x00\x00", "", false},                                                     // empty
		{"plain", "plain", true},                                                        // UTF-8
		{"\xff", "\xff", false},                                                         // neither
		{"__\x00\x00\xa0\x34\xd8\x1e\xdd", "𝄞", true},                                   // a pair of surrogates
		{"_\x00\x00\x80\x34\xd8", "\ufffd", true},                                       // half of one
		{strings.Repeat("a", 129) + "\x00\x00\xc0\x7f", strings.Repeat("a", 129), true}, // the longest run
	} {
		got, unicode := decodeName4([]byte(c.in))
		if got != c.want || unicode != c.unicode {
			t.Errorf("%q: %q, %v, want %q, %v", c.in, got, unicode, c.want, c.unicode)
		}
	}
}
