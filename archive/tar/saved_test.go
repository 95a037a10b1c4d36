package tar

import (
	stdtar "archive/tar"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// sign gives a saved index the right checksum.
func sign(b []byte) {
	if body := len(b) - sumSize; body >= 0 {
		binary.LittleEndian.PutUint32(b[body:], crc32.Checksum(b[:body], castagnoli))
	}
}

func savedFixture(t testing.TB) (x *Index, saved []byte) {
	t.Helper()
	b := newArchive(t).
		add(stdtar.Header{Name: "dir/", Typeflag: stdtar.TypeDir, Mode: 0o755}, "").
		add(stdtar.Header{Name: "a", ModTime: time.Unix(-5, 7), Format: stdtar.FormatPAX}, "hello").
		add(stdtar.Header{Name: "b", Typeflag: stdtar.TypeLink, Linkname: "a"}, "").
		add(stdtar.Header{Name: "c", Typeflag: stdtar.TypeSymlink, Linkname: "a"}, "").
		bytes()
	x = mustWalk(t, b, Options{})
	x.Truncated, x.Damage, x.Dropped = true, "damaged", Dropped{1, 2, 3, 4}
	return x, x.Append([]byte("before"))[len("before"):]
}

func TestSaved(t *testing.T) {
	x, saved := savedFixture(t)
	got, err := ParseIndex(saved, x.ArchiveSize)
	if err != nil || !reflect.DeepEqual(got, x) {
		t.Errorf("got %+v, %v, want %+v", got, err, x)
	}
	if _, err := ParseIndex(saved, x.ArchiveSize+1); !errors.Is(err, ErrSaved) {
		t.Errorf("of another archive: %v", err)
	}
	for i := range saved {
		b := append([]byte(nil), saved...)
		b[i] ^= 4
		if _, err := ParseIndex(b, x.ArchiveSize); !errors.Is(err, ErrSaved) {
			t.Errorf("bit of byte %d changed: %v", i, err)
		}
		if _, err := ParseIndex(saved[:i], x.ArchiveSize); !errors.Is(err, ErrSaved) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

// TestSavedSparse keeps holes in their places.
func TestSavedSparse(t *testing.T) {
	var b []byte
	for _, path := range fixtures(t) {
		if filepath.Base(path) == "sparse-formats.tar" {
			b = fixture(t, path)
		}
	}
	x := mustWalk(t, b, Options{})
	if n := len(x.Members[0].Extents); n < 100 {
		t.Fatalf("%d extents", n)
	}
	got, err := ParseIndex(x.Append(nil), x.ArchiveSize)
	if err != nil || !reflect.DeepEqual(got, x) {
		t.Errorf("got %+v, %v, want %+v", got, err, x)
	}
}

func FuzzParseIndex(f *testing.F) {
	x, saved := savedFixture(f)
	f.Add(saved, x.ArchiveSize)
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		sign(b)
		x, err := ParseIndex(b, size)
		if err != nil {
			if !errors.Is(err, ErrSaved) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseIndex(x.Append(nil), size)
		if err != nil || !reflect.DeepEqual(again, x) {
			t.Fatalf("saved again: %v", err)
		}
	})
}
