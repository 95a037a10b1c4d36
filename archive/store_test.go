package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/archive/rar/rartest"
	"shoal/archive/spool"
)

// TestRestWhileRead reads a member again and again just as its decoder is put to rest.
func TestRestWhileRead(t *testing.T) {
	s := newStore(t, t.TempDir())
	data := text(1, 100_000)
	list, err := s.Archive("t/0", "x.zip", &memory{data: makeZip(t, zipEntry{name: "a", data: data})}, nil).Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 300 {
			for _, d := range s.opens() {
				d.rest(time.Now().Add(time.Hour), false)
			}
		}
	}()
	for going := true; going; {
		select {
		case <-ended:
			going = false
		default:
		}
		got := make([]byte, 1000)
		if _, err := list[0].File.ReadAt(t.Context(), got, 5000); err != nil || !bytes.Equal(got, data[5000:6000]) {
			t.Fatalf("other bytes, or %v", err)
		}
	}
	for _, d := range s.opens() {
		d.rest(time.Now().Add(time.Hour), false)
	}
	if left := s.opens(); len(left) != 0 {
		t.Errorf("%d decoders are left", len(left))
	}
}

// TestCloseWhileRead closes the store while somebody reads.
func TestCloseWhileRead(t *testing.T) {
	s := newStore(t, t.TempDir())
	source := &stuck{memory: memory{data: makeZip(t, zipEntry{name: "a", data: text(1, 5<<20)})}, from: 100_000, stuck: make(chan struct{})}
	source.open.Store(true)
	list, err := s.Archive("t/0", "x.zip", source, nil).Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	source.open.Store(false)
	read := make(chan error, 1)
	go func() {
		_, err := list[0].File.ReadAt(context.WithoutCancel(t.Context()), make([]byte, 10), 4<<20)
		read <- err
	}()
	receive(t, source.stuck)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := receive(t, read); err == nil {
		t.Error("the read succeeded")
	}
	if _, err := list[0].File.ReadAt(t.Context(), make([]byte, 10), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestSlowPeers has peers take longer for the first bytes than listing may work: that is no reason to refuse the archive.
func TestSlowPeers(t *testing.T) {
	inner := makeZip(t, zipEntry{name: "a", data: []byte("x")})
	for name, data := range map[string][]byte{
		"x.bin.001": []byte("hello"),
		"x.zip":     makeZip(t, zipEntry{name: "a", data: []byte("b"), stored: true, mode: fs.ModeSymlink | 0o777}, zipEntry{name: "in.zip", data: inner}),
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStoreOf(t, Limits{})
			f := &slow{memory: &memory{data: data}, wait: 40 * time.Second}
			a := s.Archive("t/0", name, f, volumeFolder{"x.bin.002": &memory{data: []byte("world")}})
			list, err := a.Members(t.Context())
			if err != nil || a.Refused() != nil {
				t.Errorf("%s: %v, and %v is remembered", name, err, a.Refused())
			}
			for _, m := range list {
				if m.Archive == nil {
					continue
				}
				if _, err := m.Archive.Members(t.Context()); err != nil {
					t.Errorf("%s in %s: %v", m.Name, name, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNestedLimitIsKnown: what is over the limit of archives in archives is a file from then on.
func TestNestedLimitIsKnown(t *testing.T) {
	s := newStoreOf(t, Limits{Nested: 1})
	inner := makeZip(t, zipEntry{name: "a", data: []byte("x")})
	outer := makeZip(t, zipEntry{name: "1.zip", data: inner, stored: true})
	for i, refused := range []bool{false, true} {
		list, err := s.Archive(fmt.Sprintf("t/%d", i), "x.zip", &memory{data: outer}, nil).Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a := list[0].Archive
		if _, err := a.Members(t.Context()); Refuses(err) != refused || a.Shown() == refused || (a.Refused() != nil) != refused {
			t.Errorf("%d: %v; shown %v, and %v is remembered", i, err, a.Shown(), a.Refused())
		}
	}
}

// TestLinksTried: links that cannot be read count as well, as each costs reads.
func TestLinksTried(t *testing.T) {
	var entries []zipEntry
	for i := range 1000 {
		entries = append(entries, zipEntry{name: fmt.Sprint(i), data: []byte("to"), stored: true, mode: fs.ModeSymlink | 0o777})
	}
	z := bytes.ReplaceAll(makeZip(t, entries...), []byte("PK\x03\x04"), []byte("XX\x03\x04"))
	m := &memory{data: z}
	if _, err := newStore(t, t.TempDir()).Archive("t/0", "x.zip", m, nil).Members(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := m.reads.Load(); n > 100 {
		t.Errorf("%d reads list it", n)
	}
}

// TestSavedWhileRead: what was learned of much of a member is kept while that is being read, in case the process dies.
func TestSavedWhileRead(t *testing.T) {
	s := newStore(t, t.TempDir())
	z := makeZip(t, zipEntry{name: "a", data: text(1, 6<<20)})
	list, err := s.Archive("t/0", "x.zip", &memory{data: z}, nil).Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list[0].File.ReadAt(t.Context(), make([]byte, 10), 4<<20); err != nil {
		t.Fatal(err)
	}
	for _, d := range s.opens() {
		d.rest(time.Time{}, false)
	}
	if len(s.opens()) != 1 || !s.hasIndex("t/0/0"+pointsSuffix) {
		t.Errorf("of %d decoders that go on, checkpoints are kept: %t", len(s.opens()), s.hasIndex("t/0/0"+pointsSuffix))
	}
}

// TestCloseKeeps: what was learned is kept when the store is closed, also where others have to make room for it.
func TestCloseKeeps(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{Room: fullRoom{}})
	data := text(1, 4<<20)
	list, err := s.Archive("t/0", "x.zip", &memory{data: makeZip(t, zipEntry{name: "a", data: data})}, nil).Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list[0].File.ReadAt(t.Context(), make([]byte, len(data)), 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !s.hasIndex("t/0/0" + pointsSuffix) {
		t.Error("the checkpoints are lost")
	}
}

// TestNamelessArchives: a suffix alone makes no archive, as what is inside would have no name.
func TestNamelessArchives(t *testing.T) {
	for _, name := range []string{".001", "..001", "...001", ".gz", "..gz", "...xz", ".zip"} {
		if IsArchive(name) {
			t.Errorf("%q is one", name)
		}
	}
}

// stuck is a file of which the bytes from some on do not come, unless it is open.
type stuck struct {
	memory
	open  atomic.Bool
	from  int64
	once  sync.Once
	stuck chan struct{} // closed once somebody waits
}

func (f *stuck) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if !f.open.Load() && off+int64(len(p)) > f.from {
		f.once.Do(func() { close(f.stuck) })
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return f.memory.ReadAt(ctx, p, off)
}

// slow is a file whose bytes take a while.
type slow struct {
	*memory
	wait time.Duration
}

func (f *slow) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	select {
	case <-time.After(f.wait):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return f.memory.ReadAt(ctx, p, off)
}

func (f *slow) Ready(int64, int) bool { return false }

// fullRoom has room only for who waits for it.
type fullRoom struct{}

func (fullRoom) Take(ctx context.Context, _ int64) error { return ctx.Err() }
func (fullRoom) Add(int64)                               {}
func (fullRoom) Give(int64)                              {}

// TestManyRARMembers: a RAR archive that is there is listed to its end, however many headers that takes.
func TestManyRARMembers(t *testing.T) {
	var files []rartest.File
	for i := range 2100 {
		files = append(files, rartest.Bytes(fmt.Sprint(i), string(text(uint64(i), 70_000))))
	}
	v, err := rartest.Write(rartest.Options{Format: 4}, files...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(v[0], 0, v[0].Size()))
	if err != nil {
		t.Fatal(err)
	}
	for _, here := range []bool{false, true} {
		file := &away{memory: memory{data: b}}
		file.here.Store(here)
		a := newStore(t, t.TempDir()).Archive("t/0", "x.rar", file, nil)
		if list, err := a.Members(t.Context()); err != nil || (len(list) == len(files)) != here || (a.Partial() == "") != here {
			t.Errorf("here %v: %d members of %d, because %q; %v", here, len(list), len(files), a.Partial(), err)
		}
	}
}

// TestRelistCut: what is kept of volumes called .001 is kept as such when their headers are all read.
func TestRelistCut(t *testing.T) {
	film := text(1, 3<<20)
	volumes, err := rartest.Write(rartest.Options{Format: 5, VolumeSize: 20_000}, rartest.Bytes("film.mkv", string(film)))
	if err != nil {
		t.Fatal(err)
	}
	beside := make(volumeFolder)
	for i, v := range volumes {
		b, err := io.ReadAll(io.NewSectionReader(v, 0, v.Size()))
		if err != nil {
			t.Fatal(err)
		}
		beside[fmt.Sprintf("x.%03d", i+1)] = &memory{data: b}
	}
	dir := t.TempDir()
	for run := range 2 {
		s := newStore(t, dir)
		list, err := s.Archive("t/3", "x.001", beside["x.001"], beside).Members(t.Context())
		if err != nil || len(list) != 1 || list[0].Name != "film.mkv" {
			t.Fatalf("run %d: it holds %v, %v", run, list, err)
		}
		checkFile(t, "film.mkv", list[0].File, film)
		if err := list[0].File.(*rarFile).set.relist(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeysDiffer: a compressed file that is compressed in an archive once more has checkpoints of its own.
func TestKeysDiffer(t *testing.T) {
	want := text(5, 4<<20)
	z := makeZip(t, zipEntry{name: "a.txt.gz", data: compress(t, "gz", want)})
	list, err := newStore(t, t.TempDir()).Archive("t/0", "x.zip", &memory{data: z}, nil).Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, "a.txt", memberMap(t, list[0].Archive)["a.txt"].File, want)
	f, err := list[0].File.(*lazy).file(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if key := f.(*deflated).key; key == list[0].Archive.gzip.key {
		t.Errorf("both have %q", key)
	}
}

// TestWhatIsKept: nothing is kept of members too small for a checkpoint, of which a zip may have any number.
func TestWhatIsKept(t *testing.T) {
	s := newStore(t, t.TempDir())
	list, err := s.Archive("t/0", "x.zip", &memory{data: makeZip(t, zipEntry{name: "a", data: text(1, 5000)}, zipEntry{name: "b", data: text(2, 5<<20)})}, nil).Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if _, err := m.File.ReadAt(t.Context(), make([]byte, 10), m.Size-10); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if small, large := s.hasIndex("t/0/0"+pointsSuffix), s.hasIndex("t/0/1"+pointsSuffix); small || !large {
		t.Errorf("checkpoints are kept of the small one: %v, of the large one: %v", small, large)
	}
}

// TestRestIsCheap looks at a decoder of which all is kept.
func TestRestIsCheap(t *testing.T) {
	s := newStore(t, t.TempDir())
	noise := make([]byte, 20<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // it never fails
	list, err := s.Archive("t/0", "x.zip", &memory{data: makeZip(t, zipEntry{name: "a", data: noise})}, nil).Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list[0].File.ReadAt(t.Context(), make([]byte, 10), 20<<20-10); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	d := s.opens()[0]
	d.rest(time.Time{}, false)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d.rest(time.Time{}, false)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 50_000 {
		t.Errorf("it takes %d bytes of memory", n)
	}
}

// noRoom has none, which whoever waits is told when he has waited for long enough.
type noRoom struct{ fullRoom }

func (noRoom) Take(ctx context.Context, _ int64) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestCloseWithoutRoom closes the store when much was learned, and there is no room for it: that does not take longer the more it is.
func TestCloseWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, err := New(Options{
			Dir: dir + "/index", Room: noRoom{}, Logger: slog.New(slog.DiscardHandler),
			Spool: spool.Options{Dir: dir + "/spool", Limit: func() int64 { return 1 << 30 }},
		})
		if err != nil {
			t.Fatal(err)
		}
		entries := make([]zipEntry, 8)
		for i := range entries {
			entries[i] = zipEntry{name: fmt.Sprint(i), data: text(uint64(i), 2<<20)}
		}
		list, err := s.Archive("t/0", "x.zip", &memory{data: makeZip(t, entries...)}, nil).Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if _, err := m.File.ReadAt(t.Context(), make([]byte, 10), m.Size-10); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > closePatience {
			t.Errorf("it takes %v", took)
		}
	})
}
