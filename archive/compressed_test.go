package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"shoal/archive/archivetest"
)

// compressors make what the tools of the name would; nil is bzip2, for which Go has none.
var compressors = map[string]func(io.Writer) (io.WriteCloser, error){
	"gz":  func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	"zst": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	"xz":  func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
	"xz in blocks": func(w io.Writer) (io.WriteCloser, error) {
		return xz.WriterConfig{BlockSize: 100_000}.NewWriter(w)
	},
	"bz2": nil,
}

// compress compresses data as a tool would.
func compress(t testing.TB, how string, data []byte) []byte {
	t.Helper()
	if how == "bz2" {
		return archivetest.Bzip2(data)
	}
	return archivetest.Compressed(t, data, compressors[how])
}

func TestCompressedTar(t *testing.T) {
	content := map[string][]byte{"a/film.mkv": text(1, 1<<20+7), "a/empty": {}, "a/b/last": text(2, 300_000)}
	var files []any
	for _, name := range []string{"a/film.mkv", "a/empty", "a/b/last"} {
		files = append(files, name, content[name])
	}
	data := makeTar(t, files...)
	for how := range compressors {
		t.Run(how, func(t *testing.T) {
			suffix, _, _ := strings.Cut(how, " ")
			dir := t.TempDir()
			file := &memory{data: compress(t, how, data)}
			for _, run := range []string{"first", "after a restart"} {
				s := newStore(t, dir)
				a := s.Archive("t/0", "Sources.TAR."+suffix, file, nil)
				if !a.Shown() || a.NeedsWhole() != (run == "first") {
					t.Errorf("%s: shown %v, needs the whole %v", run, a.Shown(), a.NeedsWhole())
				}
				reads := file.reads.Load()
				list := memberMap(t, a)
				if run != "first" && file.reads.Load() != reads {
					t.Errorf("%d reads of the archive list it again", file.reads.Load()-reads)
				}
				for name, want := range content {
					if m := list[name]; m.File == nil || m.Size != int64(len(want)) {
						t.Fatalf("%s: %q is %+v", run, name, m)
					} else {
						checkFile(t, name, m.File, want)
					}
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestCompressedTarWithoutRoom lists what there is no room for to keep it decoded, which reading in it would need.
func TestCompressedTarWithoutRoom(t *testing.T) {
	data := makeTar(t, "a", text(1, 300_000), "b", text(2, 10))
	for how := range compressors {
		suffix, _, _ := strings.Cut(how, " ")
		list, err := smallStore(t, t.TempDir()).Archive("t/0", "a.tar."+suffix, &memory{data: compress(t, how, data)}, nil).Members(t.Context())
		if err != nil || len(list) != 2 {
			t.Errorf("%s: %d members, %v", how, len(list), err)
		}
	}
}

func TestCompressedFile(t *testing.T) {
	want := text(3, 700_001)
	for how := range compressors {
		t.Run(how, func(t *testing.T) {
			suffix, _, _ := strings.Cut(how, " ")
			s := newStore(t, t.TempDir())
			file := &memory{data: compress(t, how, want)}
			a := s.Archive("t/0", "book.txt."+suffix, file, nil)
			list := memberMap(t, a)
			if len(list) != 1 || list["book.txt"].Size != int64(len(want)) {
				t.Fatalf("it holds %v", list)
			}
			checkFile(t, how, list["book.txt"].File, want)
		})
	}
}

// TestWhole has archives that can only be listed by reading all of them, which is not there: they are files until it is, or somebody asks.
func TestWhole(t *testing.T) {
	for name, needs := range map[string]bool{
		"a.tar.gz": true, "a.tgz": true, "a.tar.xz": true, "a.tar.zst": true, "a.tar.bz2": true, "a.gz": true, "a.bz2": true, "a.zst": true,
		"a.xz": false, "a.zip": false, "a.tar": false, "a.rar": false,
	} {
		s := newStore(t, t.TempDir())
		file := &memory{data: compress(t, "gz", makeTar(t, "x", text(1, 10)))}
		file.fails.Store(true)
		a := s.Archive("t/0", name, file, nil)
		if a.Shown() == needs || a.NeedsWhole() != needs {
			t.Errorf("%s: shown %v, needs the whole %v", name, a.Shown(), a.NeedsWhole())
		}
		a.Ask()
		if !a.Shown() {
			t.Errorf("%s is not shown though somebody asked", name)
		}
		if name != "a.tar.gz" {
			continue
		}
		if a := s.Archive("t/0", name, file, nil); !a.Shown() {
			t.Errorf("%s is not shown after a restart though somebody asked", name)
		}
		if _, err := a.Members(t.Context()); !errors.Is(err, errAway) || Refuses(err) || !a.Shown() {
			t.Errorf("%s without peers: %v", name, err)
		}
		file.fails.Store(false)
		if list := memberMap(t, a); list["x"].Size != 10 {
			t.Errorf("%s holds %v", name, list)
		}
	}
}

// TestAskAgain has a file that is no archive, and is one later: somebody who asks has it looked at again.
func TestAskAgain(t *testing.T) {
	s := newStore(t, t.TempDir())
	good := compress(t, "gz", text(1, 1000))
	file := &memory{data: make([]byte, len(good))}
	a := s.Archive("t/0", "a.gz", file, nil)
	if _, err := a.Members(t.Context()); !Refuses(err) || a.Shown() || a.Refused() == nil {
		t.Fatalf("zeros: %v, shown %v", err, a.Shown())
	}
	copy(file.data, good)
	if _, err := a.Members(t.Context()); !Refuses(err) {
		t.Fatalf("it was looked at again: %v", err)
	}
	a.Ask()
	if list := memberMap(t, a); !a.Shown() || list["a"].Size != 1000 {
		t.Errorf("shown %v, it holds %v", a.Shown(), list)
	}
}

// TestCompressedRefused has files that are damaged, lie, or were made to exhaust who decodes them. These are refused before their ends, which
// are missing.
func TestCompressedRefused(t *testing.T) {
	whole := compress(t, "gz", makeTar(t, "x", text(1, 300_000)))
	zeros := make([]byte, 8<<20)
	cut := func(data []byte) []byte { return data[:len(data)-5] }
	for name, data := range map[string][]byte{
		"cut.tar.gz":     whole[:len(whole)/2],
		"text.tar.gz":    compress(t, "gz", text(1, 5000)),
		"none.gz":        text(1, 100),
		"none.bz2":       text(1, 100),
		"none.xz":        text(1, 100),
		"none.zst":       text(1, 100),
		"bomb.bz2":       cut(compress(t, "bz2", zeros)),
		"bomb.zst":       cut(compress(t, "zst", zeros)),
		"bomb.xz":        compress(t, "xz", zeros),
		"bomb.tar.bz2":   cut(compress(t, "bz2", makeTar(t, "x", zeros))),
		"empty.tar.gz":   {},
		"nothing.tar.gz": compress(t, "gz", nil),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, t.TempDir())
			s.opts.Limits.RatioFrom = 4 << 20
			a := s.Archive("t/0", name, &memory{data: data}, nil)
			list, err := a.Members(t.Context())
			if !Refuses(err) || a.Refused() == nil || a.Shown() || errors.Is(err, ErrLimit) != strings.HasPrefix(name, "bomb.") {
				t.Errorf("%d members, %v", len(list), err)
			}
		})
	}
}

// TestTarCut has a tar archive without its end: what is whole is shown.
func TestTarCut(t *testing.T) {
	first := text(1, 200_000)
	data := makeTar(t, "a", first, "b", text(2, 200_000))
	for _, how := range []string{"gz", "bz2", "xz", "zst"} {
		for _, length := range []int{300_000, 201_216, 2*201_216 - 512} {
			s := newStore(t, t.TempDir())
			a := s.Archive("t/0", "cut.tar."+how, &memory{data: compress(t, how, data[:length])}, nil)
			list := memberMap(t, a)
			if list["a"].File == nil {
				t.Fatalf("%s of %d bytes holds %v", how, length, list)
			}
			checkFile(t, "a", list["a"].File, first)
			if b := list["b"]; (b.File != nil) != (length > 400_000) {
				t.Errorf("%s of %d bytes holds %+v", how, length, b)
			}
		}
	}
}

// TestLinger has nobody wait any more for something that takes long: whoever comes again soon finds it going on, and later nothing does.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{}
		s.ctx, s.cancel = context.WithCancel(t.Context())
		f := flight[int]{linger: time.Minute}
		var begun atomic.Int64
		find := func(ctx context.Context) (int, error) {
			begun.Add(1)
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(200 * time.Second):
				return 7, nil
			}
		}
		wait := func(d time.Duration) (int, error) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return f.do(ctx, s, find)
		}
		if _, err := wait(10 * time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first: %v", err)
		}
		time.Sleep(59 * time.Second)
		if _, err := wait(time.Second / 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one who comes for a moment: %v", err)
		}
		time.Sleep(10 * time.Second)
		if _, err := wait(10 * time.Second); !errors.Is(err, context.DeadlineExceeded) || begun.Load() != 1 {
			t.Errorf("the second: %v, begun %d times", err, begun.Load())
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got, err := f.do(t.Context(), s, find); got != 7 || err != nil || begun.Load() != 2 {
			t.Errorf("the third: %d, %v, begun %d times", got, err, begun.Load())
		}
		s.cancel()
		s.tasks.Wait()
	})
}

// memberMap returns the files of an archive by path.
func memberMap(t testing.TB, a *Archive) map[string]Member {
	t.Helper()
	list := make(map[string]Member)
	walk(t, a, "", func(path string, m Member) {
		if !m.Dir {
			list[path] = m
		}
	})
	return list
}

// checkFile reads a file backwards in parts, then whole.
func checkFile(t testing.TB, name string, f File, want []byte) {
	t.Helper()
	const part = 70_000
	for off := (len(want) - 1) / part * part; off > 0; off -= part {
		p := make([]byte, min(part, len(want)-off))
		if n, err := f.ReadAt(t.Context(), p, int64(off)); n < len(p) || !bytes.Equal(p, want[off:][:n]) {
			t.Fatalf("%s at %d: %d bytes, or others; %v", name, off, n, err)
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(readerAt(t.Context(), f), 0, f.Size()))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes of %d, or others; %v", name, len(got), len(want), err)
	}
}
