package rar

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
	"unicode/utf8"

	"shoal/archive/rar/rartest"
)

// fuzzLimits are small, so that a run that does not end is seen soon.
var fuzzLimits = Limits{Entries: 1000, Volumes: 10, HeaderBytes: 1 << 20, BlockBytes: 4 << 20, Reads: 100}

// seal makes the CRCs of the headers right that a walk would meet, as far as they follow one another: otherwise nothing is ever fuzzed behind
// the first.
func seal(b []byte) []byte {
	b = append([]byte{}, b...)
	switch {
	case len(b) > 8 && string(b[:7]) == "Rar!\x1a\x07\x00":
		for at := 7; at+minHeader4 <= len(b); {
			n := int(binary.LittleEndian.Uint16(b[at+5:]))
			if n < minHeader4 || n > len(b)-at {
				break
			}
			binary.LittleEndian.PutUint16(b[at:], uint16(crc32.ChecksumIEEE(b[at+2:at+n])))
			h, err := decode4(b[at : at+n])
			if err != nil || h.data < 0 || h.data > int64(len(b)-at-n) {
				break
			}
			at += n + int(h.data)
		}
	case len(b) > 8 && string(b[:8]) == "Rar!\x1a\x07\x01\x00":
		for at := 8; at+minHeader5 <= len(b); {
			n, err := size5(b[at : at+minHeader5])
			if err != nil || n > len(b)-at {
				break
			}
			binary.LittleEndian.PutUint32(b[at:], crc32.ChecksumIEEE(b[at+4:at+n]))
			h, err := decode5(b[at : at+n])
			if err != nil || h.data > int64(len(b)-at-n) {
				break
			}
			at += n + int(h.data)
		}
	}
	return b
}

// flat returns volume n of a set.
func flat(v rartest.Volumes, n int) []byte {
	if n >= len(v) {
		return nil
	}
	b, err := io.ReadAll(io.NewSectionReader(v[n], 0, v[n].Size()))
	if err != nil {
		panic(err)
	}
	return b
}

// FuzzRead reads up to three volumes: nothing that it lists may lie outside of them, or be more than there is.
func FuzzRead(f *testing.F) {
	for _, format := range []int{4, 5} {
		for _, o := range []rartest.Options{
			{}, {VolumeSize: 300}, {VolumeSize: 300, Recovery: 80}, {QuickOpen: true}, {Stub: []byte("MZ")}, {Comment: "x"},
		} {
			o.Format = format
			folder, link := rartest.File{Name: "d", Dir: true}, rartest.File{Name: "l", Link: "a", LinkType: 4}
			v, err := rartest.Write(o, sized("a", 20), sized("film", 450), folder, link)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(flat(v, 0), flat(v, 1), flat(v, 2))
		}
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		set := plainVolumes{seal(a), seal(b), seal(c)}
		for _, read := range []func(Volumes, Limits) (*Archive, error){Read, ReadAll} {
			archive, err := read(set, fuzzLimits)
			if err != nil {
				if archive != nil {
					t.Errorf("%v, and an archive", err)
				}
				return
			}
			checkListing(t, archive, set)
		}
	})
}

func checkListing(t *testing.T, a *Archive, set plainVolumes) {
	if len(a.Members) > fuzzLimits.Entries {
		t.Errorf("%d members", len(a.Members))
	}
	for i := range a.Members {
		m := &a.Members[i]
		var sum int64
		for _, e := range m.Extents {
			if e.Volume < 0 || e.Volume >= len(set) || e.Off < 0 || e.Len <= 0 || e.Off+e.Len > int64(len(set[e.Volume])) {
				t.Errorf("%q lies at %+v", m.Name, e)
			}
			sum += e.Len
		}
		if m.Plain() && m.LinkKind == NoLink && sum != m.Size {
			t.Errorf("%q has %d bytes of %d", m.Name, sum, m.Size)
		}
		if m.UTF8 && !utf8.ValidString(m.Name) {
			t.Errorf("%q is not UTF-8", m.Name)
		}
	}
	for n := range set {
		if _, err := a.Verify(set, n); err != nil {
			t.Errorf("Verify(%d): %v", n, err)
		}
	}
}

// FuzzHeader4 decodes headers of formats 1.5 to 4.
func FuzzHeader4(f *testing.F) {
	f.Add(fields4{name: "name", method: '0', flags: 0x1400, rest: make([]byte, 10)}.header())
	f.Add(fields4{name: string(rartest.EncodeName4("é漢")), method: '3', flags: 0x200}.header())
	f.Add(rartest.Header4(0x73, 0, make([]byte, 6)))
	f.Add(rartest.Header4(0x7b, 1, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < minHeader4 {
			return
		}
		binary.LittleEndian.PutUint16(b, uint16(crc32.ChecksumIEEE(b[2:])))
		h, err := decode4(b)
		checkHeader(t, b, h, err)
	})
}

// FuzzHeader5 decodes headers of format 5.
func FuzzHeader5(f *testing.F) {
	f.Add(file5Header(6, 7, 0, make([]byte, 8), 1, 1, "name", rartest.Record5(5, []byte{1, 0, 1, 'a'})))
	f.Add(file5Header(0, 7, 0, nil, 1, 1, "name", rartest.Record5(3, []byte{0x1f, 0, 0, 0, 0, 0})))
	f.Add(rartest.Header5(1, 0, []byte{3, 1}, rartest.Record5(1, []byte{1, 50}), -1, 1))
	f.Add(rartest.Header5(5, 0, []byte{0}, nil, -1, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < minHeader5 {
			return
		}
		binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
		h, err := decode5(b)
		checkHeader(t, b, h, err)
	})
}

func checkHeader(t *testing.T, b []byte, h *header, err error) {
	if err != nil {
		if h != nil || !errors.Is(err, ErrFormat) {
			t.Errorf("%+v, %v", h, err)
		}
		return
	}
	m := &h.member
	if h.data < 0 || h.size != int64(len(b)) || m.Size < -1 || m.Dictionary < 0 || m.Version < 0 || m.Method < 0 || h.main.quickOpen < 0 {
		t.Errorf("%+v", h)
	}
	if (m.Size < 0 || m.Encrypted) && m.Problem == "" {
		t.Errorf("no problem with %+v", m)
	}
}

// FuzzName4 decodes names of format 4.
func FuzzName4(f *testing.F) {
	f.Add([]byte("_bcdefg\x00\x04\x70\x36\x7f"))
	f.Add([]byte("abcd\x00\x04\xc0\x82\xcf"))
	f.Add(rartest.EncodeName4("é漢𝄞"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, unicode := decodeName4(b)
		if unicode && !utf8.ValidString(name) || len(name) > 3*len(b) {
			t.Errorf("%q: %q, %v", b, name, unicode)
		}
	})
}

// FuzzQuickOpen takes quick open records apart.
func FuzzQuickOpen(f *testing.F) {
	h := header5(rartest.File{Name: "a"})
	f.Add(append(entry(200, h), entry(100, h)...), int64(1000))
	f.Fuzz(func(t *testing.T, b []byte, at int64) {
		for place, h := range parseQuickOpen(b, at).headers {
			if place < 0 || place+int64(len(h)) > at || len(h) > len(b) {
				t.Errorf("%d bytes at %d, of a record at %d", len(h), place, at)
			}
		}
	})
}
