package zip

import (
	stdzip "archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/archive/names"
)

// differsFromStd are the archives on which archive/zip and this package disagree, and why.
var differsFromStd = map[string]string{
	"comment-truncated.zip": "a comment that is cut is no reason to refuse what is in front of it: Info-ZIP lists it as well",
}

// TestStandard compares with archive/zip what is in its own test archives.
func TestStandard(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(runtime.GOROOT(), "src/archive/zip/testdata/*zip*")) //lint:ignore SA1019 the tests are run where Go is
	if err != nil || len(paths) < 30 {
		t.Skipf("%d archives in GOROOT, %v", len(paths), err)
	}
	for _, p := range paths {
		t.Run(filepath.Base(p), func(t *testing.T) {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(p, ".base64") {
				if b, err = base64.StdEncoding.DecodeString(string(b)); err != nil {
					t.Fatal(err)
				}
			}
			std, stdErr := stdzip.NewReader(bytes.NewReader(b), int64(len(b)))
			a, err := Read(bytes.NewReader(b), int64(len(b)), Options{})
			if (stdErr == nil) != (err == nil) && differsFromStd[filepath.Base(p)] == "" {
				t.Fatalf("error %v, where archive/zip has %v", err, stdErr)
			}
			if err == nil && stdErr == nil {
				compare(t, a, std, b)
			}
		})
	}
}

func compare(t *testing.T, a *Archive, std *stdzip.Reader, b []byte) {
	t.Helper()
	if a.Len() != len(std.File) {
		t.Fatalf("%d entries, where archive/zip has %d", a.Len(), len(std.File))
	}
	for i, want := range std.File {
		got := a.Entry(i)
		if got.Name != want.Name || uint64(got.Size) != want.UncompressedSize64 || uint64(got.Compressed) != want.CompressedSize64 ||
			got.CRC32 != want.CRC32 || uint16(got.Method) != want.Method {
			t.Errorf("%+v\ndiffers from %+v", got, want.FileHeader)
		}
		if isDir := want.Mode().IsDir(); isDir != (got.Kind == names.Dir) || want.Mode()&os.ModeSymlink != 0 != (got.Kind == names.Symlink) {
			t.Errorf("%s is of kind %d, and for archive/zip %v", got.Name, got.Kind, want.Mode())
		}
		if got.Mode != 0 && got.Mode != want.Mode().Perm() {
			t.Errorf("%s has mode %v, and for archive/zip %v", got.Name, got.Mode, want.Mode())
		}
		if want.ModifiedDate != 0 && !got.Modified.Equal(want.Modified.Truncate(time.Second)) {
			t.Errorf("%s is of %v, and for archive/zip of %v", got.Name, got.Modified, want.Modified)
		}
		off, n, err := a.Data(bytes.NewReader(b), i)
		wantOff, wantErr := want.DataOffset()
		if err != nil || wantErr != nil || off != wantOff || n != got.Compressed {
			t.Errorf("%s is %d bytes at %d, %v; for archive/zip at %d, %v", got.Name, n, off, err, wantOff, wantErr)
		}
	}
}

// written is an archive of n files made by archive/zip, in folders of 20.
func written(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := stdzip.NewWriter(&b)
	for i := range n {
		f, err := w.CreateHeader(&stdzip.FileHeader{Name: fmt.Sprintf("folder %d/a file of that folder, %d.dat", i/20, i)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, "content"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestReads counts reads: each may be the download of a piece.
func TestReads(t *testing.T) {
	for _, test := range []struct{ entries, reads int }{{0, 1}, {10, 1}, {2000, 2}, {70_000, 2}} {
		b := written(t, test.entries)
		r := &counter{r: bytes.NewReader(b)}
		a, err := Read(r, int64(len(b)), Options{})
		if err != nil || a.Len() != test.entries {
			t.Fatalf("%d entries listed as %d: %v", test.entries, a.Len(), err)
		}
		if got := r.reads.Load(); got != int64(test.reads) {
			t.Errorf("%d reads to list %d entries, wanted %d", got, test.entries, test.reads)
		}
		// Nothing twice, and nothing but the end.
		if got, most := r.bytes.Load(), max(tailSize, int64(len(b))-a.directory); got > most {
			t.Errorf("%d bytes read to list %d entries, of which %d are needed", got, test.entries, most)
		}
		for _, i := range []int{0, test.entries / 2, test.entries - 1} {
			if i < 0 || i >= a.Len() {
				continue
			}
			before, bytesBefore := r.reads.Load(), r.bytes.Load()
			if _, _, err := a.Data(r, i); err != nil {
				t.Fatal(err)
			}
			if r.reads.Load()-before != 1 || r.bytes.Load()-bytesBefore > 1024 {
				t.Errorf("%d reads of %d bytes to find an entry", r.reads.Load()-before, r.bytes.Load()-bytesBefore)
			}
		}
	}
}

// TestReadFails fails each read. That is never the archive's fault.
func TestReadFails(t *testing.T) {
	swarm := errors.New("no peer has it")
	b := written(t, 2000)
	for fails := int64(1); fails <= 2; fails++ {
		r := &counter{r: bytes.NewReader(b), fails: fails, err: swarm}
		if _, err := Read(r, int64(len(b)), Options{}); !errors.Is(err, swarm) || errors.Is(err, ErrFormat) {
			t.Errorf("read %d failed: %v", fails, err)
		}
	}
	a := list(t, b)
	if _, _, err := a.Data(&counter{fails: 1, err: swarm}, 3); !errors.Is(err, swarm) || errors.Is(err, ErrFormat) {
		t.Errorf("reading a local header failed: %v", err)
	}
	// What is shorter than was said is no damaged archive either.
	if _, err := Read(bytes.NewReader(b), int64(len(b))+1, Options{}); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrFormat) {
		t.Errorf("a byte is missing: %v", err)
	}
}

func TestMemory(t *testing.T) {
	b := written(t, 200_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a := list(t, b)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 56<<20 {
		t.Errorf("listing %d entries takes %.1f MiB of memory", a.Len(), float64(got)/(1<<20))
	}
	tree, err := a.Tree(names.Options{})
	if err != nil || tree.Len() != 1+200_000+10_000 || len(tree.Dropped()) != 0 {
		t.Errorf("%d nodes, dropped %v, %v", tree.Len(), tree.Dropped(), err)
	}
}

// TestLimits has archives with more than there may be, whatever their end record says.
func TestLimits(t *testing.T) {
	header := make([]byte, entrySize+1)
	copy(header, directoryMagic)
	header[28] = 1
	million := bytes.Repeat(header, 1_000_000)
	for _, said := range []uint64{1_000_000, 1_000_000 % 65536} {
		b := builder{
			between: func(uint64) []byte { return million },
			end: func(e []byte) {
				put16(8, uint16(said))(e)
				put16(10, uint16(said))(e)
				put32(12, uint32(len(million)))(e)
			},
		}.build()
		if said > 65535 {
			b = zip64(uint64(len(million)), said, million)
		}
		r := &counter{r: bytes.NewReader(b)}
		_, err := Read(r, int64(len(b)), Options{})
		if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "entries") {
			t.Errorf("a million entries, %d said: %v", said, err)
		}
		if said > 65535 && r.reads.Load() > 1 {
			t.Errorf("%d reads to refuse what the end record says", r.reads.Load())
		}
	}
	b := zip64(65537*uint64(len(header)), 1, million[:65537*len(header)])
	if _, err := Read(bytes.NewReader(b), int64(len(b)), Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("65,537 entries with zip64, which says 1: %v", err)
	}
	b = written(t, 100)
	if _, err := Read(bytes.NewReader(b), int64(len(b)), Options{MaxDirectory: 1000}); !errors.Is(err, ErrLimit) {
		t.Errorf("a directory above the limit: %v", err)
	}
	if _, err := Read(bytes.NewReader(b), int64(len(b)), Options{MaxEntries: 99}); !errors.Is(err, ErrLimit) {
		t.Errorf("100 entries, above 99: %v", err)
	}
	if _, err := Read(bytes.NewReader(b), int64(len(b)), Options{MaxEntries: 100}); err != nil {
		t.Errorf("100 entries, as many as there may be: %v", err)
	}
}

// zip64 returns an archive of a directory with a zip64 end record.
func zip64(length, entries uint64, directory []byte) []byte {
	return builder{
		between: func(at uint64) []byte {
			end := at + uint64(len(directory))
			b := append(slices.Clone(directory), end64Magic...)
			b = binary.LittleEndian.AppendUint64(b, end64Size-12)
			b = append(b, make([]byte, 12)...)
			for _, n := range []uint64{entries, entries, length, at} {
				b = binary.LittleEndian.AppendUint64(b, n)
			}
			b = append(append(b, locatorMagic...), 0, 0, 0, 0)
			b = binary.LittleEndian.AppendUint64(b, end)
			return append(b, 1, 0, 0, 0)
		},
		end: func(e []byte) {
			put32(8, 1<<32-1)(e)
			put32(12, 1<<32-1)(e)
			put32(16, 1<<32-1)(e)
		},
	}.build()
}

// TestTree has path tricks in the bytes of an archive; what becomes of them is in package names.
func TestTree(t *testing.T) {
	long := strings.Repeat("x", 300)
	japanese := "\x83\x5c\x81\x5b\x83\x68" // ソード, with a backslash in it
	b := builder{}.build(
		file{name: "ok", data: "1", host: 3},
		file{name: "../../etc/passwd", host: 3},
		file{name: "nul\x00", host: 3},
		file{name: long, host: 3},
		file{name: strings.Repeat("d/", 70) + "f", host: 3},
		file{name: `dos\path`},
		file{name: `unix\path`, host: 3},
		file{name: "device", host: 3, attributes: 0o020644 << 16},
		file{name: "link", host: 3, attributes: 0o120777 << 16},
		file{name: "folder", host: 3, attributes: 0o040755 << 16},
		file{name: "dosfolder", attributes: 0x10},
		file{name: "ok", data: "2", host: 3},
		file{name: japanese, extra: append(field(extraUnicode, 1, 0, 0, 0, 0), field(9)...)}, // of another name
		file{name: "\xff", extra: field(extraUnicode, append([]byte{1, 0, 0, 0, 0xff}, "extra"...)...)},
		file{name: "\xc3\xa9", flags: flagUTF8},
	)
	a := list(t, b)
	tree, err := a.Tree(names.Options{Charset: "Shift_JIS"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ok", "", "", "", "", "dos/path", "unix_path", "", "link", "folder", "dosfolder", "ok (1)", "ソード", "extra", "é",
	}
	for i, want := range want {
		node, reason := tree.Place(i)
		if got := tree.Path(node); got != want || (reason == names.Kept) != (want != "") {
			t.Errorf("%.20q is %q, %v; wanted %q", a.Entry(i).Name, got, reason, want)
		}
	}
	dropped := tree.Dropped()
	for _, reason := range []names.Reason{names.HasParent, names.HasNUL, names.LongName, names.Deep, names.NoFile} {
		if dropped[reason] != 1 {
			t.Errorf("%d entries dropped of which one %v", dropped[reason], reason)
		}
	}
}
