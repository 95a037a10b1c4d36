package zip

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/archive/names"
)

// TestProblems has entries whose headers lie, between two that don't and that stay readable.
func TestProblems(t *testing.T) {
	zeros := make([]byte, 1<<20)
	kernel := deflated(t, zeros) // 1,023 bytes or so
	size := uint32(len(kernel))
	tests := map[string]struct {
		file file
		want Problem // or that of the local header, if none
		says string  // of the error; "": there is none
	}{
		"stored":                  {file{data: "x"}, NoProblem, ""},
		"deflated":                {file{data: kernel, size: 1 << 20, method: 8}, NoProblem, ""},
		"descriptor":              {file{data: "x", flags: 8, local: put(put32(14, 0), put32(18, 0), put32(22, 0))}, NoProblem, ""},
		"descriptor, sizes wrong": {file{data: "x", flags: 8, local: put(put32(14, 1), put32(18, 2), put32(22, 3))}, NoProblem, ""},
		"zeros without saying so": {file{data: "x", local: put(put32(14, 0), put32(18, 0), put32(22, 0))}, NoProblem, ""},
		"local zip64":             {file{data: "x", local: put(put32(18, math.MaxUint32), put32(22, math.MaxUint32))}, NoProblem, ""},
		"ratio of 1,032":          {file{data: kernel, size: size * 1032, method: 8}, NoProblem, ""},
		"ratio above":             {file{data: kernel, size: size*1032 + 1, method: 8}, BadRatio, "can't have"},
		"bzip2 of 1,100":          {file{data: kernel, size: size * 1100, method: 12}, NoProblem, ""},
		"bzip2 above":             {file{data: kernel, size: size*1100 + 1, method: 12}, BadRatio, "can't have"},
		"size of nothing":         {file{data: "", size: 1, method: 8}, BadRatio, "can't have"},
		"stored, larger":          {file{data: "x", size: 2}, BadRatio, "can't have"},
		"compressed beyond end":   {file{data: "x", method: 8, central: put32(20, 1<<30)}, Outside, "inside"},
		"header beyond end":       {file{data: "x", central: put32(42, 1<<30)}, Outside, "inside"},
		"header in the directory": {file{data: "x", central: add32(42, 80)}, Outside, "inside"},
		"1 TiB": {file{
			data: "x", extra: field(1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0), method: 8,
			central: put(put32(20, math.MaxUint32), put32(24, math.MaxUint32)),
		}, Outside, "inside"},
		"above 1 TiB": {file{
			data: "x", extra: field(1, 1, 0, 0, 0, 0, 1, 0, 0), method: 8,
			central: put32(24, math.MaxUint32),
		}, TooLarge, "larger"},
		"size of 63 bits": {file{
			data: "x", extra: field(1, slices.Repeat([]byte{0xff}, 8)...), method: 8,
			central: put32(24, math.MaxUint32),
		}, BadExtra, "no valid"},
		"zip64 missing": {file{data: "x", method: 8, central: put32(20, math.MaxUint32)}, BadExtra, "no valid"},
		"size of 2³²-1": {file{data: "x", method: 8, central: put32(24, math.MaxUint32)}, BadRatio, "can't have"},
		"zip64 cut": {file{
			data: "x", extra: field(1, 0, 0, 0), method: 8,
			central: put32(42, math.MaxUint32),
		}, BadExtra, "no valid"},
		"encrypted":             {file{data: "x", flags: 1}, Encrypted, "encrypted"},
		"strongly encrypted":    {file{data: "x", flags: 1 | 64}, Encrypted, "encrypted"},
		"AES":                   {file{data: "x", flags: 1, method: 99, extra: field(0x9901, 2, 0, 'A', 'E', 3, 8, 0)}, EncryptedAES, "AES"},
		"patch":                 {file{data: "x", flags: 32}, Patch, "patch"},
		"other disk":            {file{data: "x", central: put16(34, 1)}, OnOtherDisk, "disk"},
		"PPMd":                  {file{data: "x", method: 98}, UnknownMethod, "method"},
		"other CRC":             {file{data: "x", local: put32(14, 1)}, NoProblem, "CRC"},
		"other size":            {file{data: "x", method: 8, local: put32(22, 2)}, NoProblem, "size"},
		"other compressed size": {file{data: "x", local: put32(18, 2)}, NoProblem, "size"},
		"other method":          {file{data: "x", local: put16(8, 8)}, NoProblem, "method"},
		"other flags":           {file{data: "x", local: put16(6, 1)}, NoProblem, "encryption"},
		"no local header":       {file{data: "x", local: put16(0, 0)}, NoProblem, "signature"},
		"long local name":       {file{data: "x", local: put16(26, 5000)}, NoProblem, "beyond"},
		"local extra":           {file{data: "xyz", method: 8, local: put16(28, 1)}, NoProblem, "beyond"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.file.name = "the file"
			b := builder{}.build(file{name: "before", data: "abc"}, test.file, file{name: "behind", data: "def"})
			r := bytes.NewReader(b)
			a := list(t, b)
			if got := a.Entry(1).Problem; got != test.want {
				t.Errorf("problem: it %v; wanted: it %v", got, test.want)
			}
			off, n, err := a.Data(r, 1)
			switch {
			case test.says == "":
				if err != nil || string(b[off:off+n]) != test.file.data {
					t.Errorf("%d bytes at %d, %v", n, off, err)
				}
			case err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), `"the file"`):
				t.Errorf("%v doesn't say %q", err, test.says)
			case !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrLimit):
				t.Errorf("%v is no error of this package", err)
			}
			for i, want := range map[int]string{0: "abc", 2: "def"} {
				off, n, err := a.Data(r, i)
				if err != nil || string(b[off:off+n]) != want {
					t.Errorf("%s: %d bytes at %d, %v", a.Entry(i).Name, n, off, err)
				}
			}
		})
	}
}

// TestBehindDirectory has an entry that claims to be behind the directory: the last one before that still ends there.
func TestBehindDirectory(t *testing.T) {
	b := builder{}.build(file{name: "long", data: "x", method: 8, local: put16(28, 200)}, file{name: "beyond", noLocal: true, central: put32(42, 1<<20)})
	if _, _, err := list(t, b).Data(bytes.NewReader(b), 0); !errors.Is(err, ErrFormat) {
		t.Errorf("data in the directory: %v", err)
	}
}

func put(changes ...func([]byte)) func([]byte) {
	return func(b []byte) {
		for _, change := range changes {
			change(b)
		}
	}
}

func TestAESMethod(t *testing.T) {
	a := list(t, builder{}.build(file{name: "a", data: "x", flags: 1, method: 99, extra: field(0x9901, 2, 0, 'A', 'E', 3, 8, 0)}))
	if got := a.Entry(0).Method; got != Deflate {
		t.Errorf("method %d", got)
	}
}

// TestOverlap has entries that share bytes: none of these can be read, and all others can.
func TestOverlap(t *testing.T) {
	plain := func(name string) file { return file{name: name, data: "content"} }
	at := func(off uint32) file { return file{name: "x", data: "content", noLocal: true, central: put32(42, off)} }
	length := uint32(localSize + 1 + len("content"))
	tests := map[string]struct {
		files []file
		bad   []int
	}{
		"none":           {[]file{plain("a"), plain("b")}, nil},
		"same":           {[]file{plain("a"), plain("b"), at(0)}, []int{0, 2}},
		"same, three":    {[]file{plain("a"), plain("b"), at(length), at(length)}, []int{1, 2, 3}},
		"inside another": {[]file{{name: "a", data: string(builder{}.build(plain("b")))}, at(31), plain("c")}, []int{0, 1}},
		"over others": {[]file{
			{name: "a", data: "content", method: 8, central: put32(20, 80)}, plain("b"), plain("c"), plain("d"),
		}, []int{0, 1, 2}},
		"in other order": {[]file{at(0), plain("a"), plain("b")}, []int{0, 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := builder{}.build(test.files...)
			a := list(t, b)
			for i := range a.Len() {
				_, _, err := a.Data(bytes.NewReader(b), i)
				if bad := slices.Contains(test.bad, i); bad != errors.Is(err, ErrFormat) || bad != (a.Entry(i).Problem == Overlap) {
					t.Errorf("entry %d: %v", i, err)
				}
			}
		})
	}
}

// TestBomb has 60,000 entries that are all the same 64 KiB: 3 MB that claim to be 3.66 TiB.
func TestBomb(t *testing.T) {
	kernel := deflated(t, make([]byte, 67_000_000))
	files := []file{{name: "kernel", data: kernel, size: 67_000_000, method: 8}}
	for i := range 59_999 {
		files = append(files, file{
			name: fmt.Sprint(i), noLocal: true, method: 8, size: 67_000_000, central: put(put32(20, uint32(len(kernel))), put32(42, 0)),
		})
	}
	b := builder{}.build(files...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a := list(t, b)
	runtime.ReadMemStats(&after)
	claimed := int64(0)
	r := &counter{r: bytes.NewReader(b)}
	for i := range a.Len() {
		claimed += a.Entry(i).Size
		if _, _, err := a.Data(r, i); !errors.Is(err, ErrFormat) {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
	if a.Len() != 60_000 || claimed < 3<<40 || len(b) > 4_000_000 {
		t.Errorf("%d bytes with %d entries that claim %d bytes: that is no bomb", len(b), a.Len(), claimed)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 20<<20 {
		t.Errorf("%d bytes of memory", got)
	}
	if r.reads.Load() != 0 {
		t.Errorf("%d reads for what can't be right", r.reads.Load())
	}
}

func TestTimes(t *testing.T) {
	const date, clock = 46<<9 | 11<<5 | 22, 13<<11 | 14<<5 | 15
	unix := field(extraTime, 1, 0x80, 0x86, 0x13, 0x69)
	ntfs := field(extraNTFS, append([]byte{0, 0, 0, 0}, field(1, 0x80, 0x4f, 0x1c, 0x6d, 0x4d, 0x5b, 0xdc, 0x01)...)...)
	old := field(extraUnixOld, 0, 0, 0, 0, 0, 0xf1, 0x53, 0x65)
	tests := map[string]struct {
		date, time uint16
		extra      []byte
		want       string
	}{
		"DOS":             {date, clock, nil, "2026-11-22T13:14:30Z"},
		"none":            {0, 0, nil, "1980-01-01T00:00:00Z"},
		"month 15":        {15 << 5, 0, nil, "1980-12-01T00:00:00Z"},
		"Unix":            {date, clock, unix, "2025-11-11T18:54:56Z"},
		"Unix before":     {date, clock, field(extraTime, 1, 0xff, 0xff, 0xff, 0xff), "1969-12-31T23:59:59Z"},
		"only access":     {date, clock, field(extraTime, 2, 0, 0, 0, 0), "2026-11-22T13:14:30Z"},
		"cut":             {date, clock, unix[:8], "2026-11-22T13:14:30Z"},
		"NTFS":            {date, clock, ntfs, "2025-11-22T01:15:01Z"},
		"old Unix":        {date, clock, old, "2023-11-14T22:13:20Z"},
		"Unix over NTFS":  {date, clock, slices.Concat(unix, ntfs, old), "2025-11-11T18:54:56Z"},
		"NTFS over old":   {date, clock, slices.Concat(old, ntfs), "2025-11-22T01:15:01Z"},
		"behind unknown":  {date, clock, slices.Concat(field(0x1234, 1, 2), unix), "2025-11-11T18:54:56Z"},
		"behind too long": {date, clock, slices.Concat([]byte{1, 2, 255, 255}, unix), "2026-11-22T13:14:30Z"},
	}
	for name, test := range tests {
		a := list(t, builder{}.build(file{name: "a", date: test.date, time: test.time, extra: test.extra}))
		if got := a.Entry(0).Modified.Format(time.RFC3339Nano); got != test.want {
			t.Errorf("%s: %s, wanted %s", name, got, test.want)
		}
	}
}

func TestKinds(t *testing.T) {
	tests := []struct {
		file file
		want names.Kind
		mode uint32
	}{
		{file{name: "a", host: 3, attributes: 0o100755 << 16}, names.File, 0o755},
		{file{name: "a", host: 3}, names.File, 0},
		{file{name: "a/", host: 3, attributes: 0o100644 << 16}, names.Dir, 0o644},
		{file{name: "a", host: 19, attributes: 0o040755 << 16}, names.Dir, 0o755},
		{file{name: "a", host: 3, attributes: 0o120777 << 16}, names.Symlink, 0o777},
		{file{name: "-", host: 3, attributes: 0o010600 << 16}, names.File, 0o600},
		{file{name: "a", host: 3, attributes: 0o060600 << 16}, names.Special, 0o600},
		{file{name: "a", host: 3, attributes: 0o104755 << 16}, names.File, 0o755}, // no setuid
		{file{name: "a", host: 0, attributes: 0o120777 << 16}, names.File, 0},
		{file{name: "a", host: 10, attributes: 0x10}, names.Dir, 0},
		{file{name: "a", host: 3, attributes: 0x10}, names.File, 0},
	}
	for _, test := range tests {
		e := list(t, builder{}.build(test.file)).Entry(0)
		if e.Kind != test.want || uint32(e.Mode) != test.mode {
			t.Errorf("%q of host %d, %o: kind %d, mode %o", test.file.name, test.file.host, test.file.attributes>>16, e.Kind, e.Mode)
		}
	}
}
