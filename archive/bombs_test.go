package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/archive/archivetest"
)

// watchHeap has the most that objects on the heap take until stop, beyond what they took before, in bytes.
func watchHeap() (stop func() (peak int64)) {
	read := func() int64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	runtime.GC()
	before, most := read(), int64(0)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			most = max(most, read())
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(done)
		<-ended
		return max(most, read()) - before
	}
}

// readSome reads 64 KiB of each of some members, at the start and near the end, and returns the errors.
func readSome(t testing.TB, list []Member, most int) (errs []error) {
	t.Helper()
	b := make([]byte, 64<<10)
	for _, m := range list[:min(len(list), most)] {
		if m.File == nil {
			continue
		}
		for _, off := range []int64{0, max(0, m.Size-1000)} {
			if _, err := m.File.ReadAt(t.Context(), b, off); err != nil && !errors.Is(err, io.EOF) {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

const mib = 1 << 20

// TestCVE_2025_11579_Bombs: rardecode took the memory that a dictionary claims. Archives that mean harm are listed, and what they show is
// read, within bounds of memory and time. Time is generous, as other tests run at the same time.
func TestCVE_2025_11579_Bombs(t *testing.T) {
	zeros, n := archivetest.OneBlock(64 << 20)
	kernel := archivetest.Deflated(t, bytes.Repeat([]byte{'x'}, 65_000*1000))
	huge := archivetest.Stored("lie", nil)
	huge.Method, huge.Data, huge.Size = archivetest.ZipDeflate, kernel[:1000], 1_100_000
	tests := []struct {
		name    string
		file    string
		data    func() []byte
		refused error // of the archive
		members int
		errs    error // of all reads; nil if they all succeed
		peak    int64 // bytes of heap
	}{
		{"overlapping", "x.zip", func() []byte { return archivetest.OverlappingZip(60_000, kernel, 65_000_000) }, nil, 60_000, ErrFormat, 80 * mib},
		{"1,100:1", "x.zip", func() []byte { return archivetest.Zip(huge) }, nil, 1, ErrFormat, mib},
		{"one block", "x.zip", func() []byte {
			return archivetest.Zip(archivetest.ZipEntry{Name: "zeros", Method: archivetest.ZipDeflate, Data: zeros, Size: uint32(n)})
		}, nil, 1, nil, 100 * mib},
		{"1,000,000 entries", "x.zip", func() []byte { return archivetest.EmptyZip(1_000_000) }, ErrLimit, 0, nil, 80 * mib},
		{"1,000,000 entries claimed", "x.zip", func() []byte { return archivetest.ClaimingZip(1_000_000, 48_000_000) }, ErrFormat, 0, nil, mib},
		{"2^60 entries claimed", "x.zip", func() []byte { return archivetest.ClaimingZip(1<<60, 1<<62) }, ErrFormat, 0, nil, mib},
		{"200,000 entries", "x.zip", func() []byte { return archivetest.EmptyZip(200_000) }, nil, 200_000, nil, 300 * mib},
		{"1,000,000 headers", "x.tar", func() []byte { return archivetest.EmptyTar(1_000_000) }, ErrLimit, 0, nil, 120 * mib},
		{"1 TiB of holes", "x.tar", func() []byte { return archivetest.SparseTar(1 << 40) }, nil, 1, nil, mib},
		{"8 EiB of holes", "x.tar", func() []byte { return archivetest.SparseTar(1<<63 - 1) }, nil, 0, nil, mib},
		{"500 links to 10,000 holes", "x.tar", func() []byte { return archivetest.LinkedSparseTar(10_000, 500) }, nil, 501, nil, 4 * mib},
		{"a pax record of 1 GiB", "x.tar", func() []byte {
			return archivetest.Tar(archivetest.TarEntry{Name: "a", Type: '0'}, archivetest.TarEntry{Name: "pax", Type: 'x', Size: 1 << 30})
		}, nil, 1, nil, mib},
		{"4 GiB of dictionary", "x.rar", func() []byte { return archivetest.RARDictionary(15, 1<<20) }, nil, 1, ErrUnsupported, mib},
		{"64 MiB of dictionary", "x.rar", func() []byte { return archivetest.RARDictionary(9, 1000) }, nil, 1, ErrFormat, 80 * mib},
		{"8 EiB of RAR", "x.rar", func() []byte { return archivetest.RARDictionary(0, 1<<62) }, nil, 1, ErrLimit, mib},
		{"a ratio of RAR", "x.rar", func() []byte { return archivetest.RARDictionary(0, 1<<33) }, nil, 1, ErrLimit, mib},
		{"2 TiB of window", "x.zip", func() []byte { return zipped(archivetest.ZipZstd, archivetest.ZstdWindow(31), 5) }, nil, 1, ErrUnsupported, 2 * mib},
		{"4 GiB of xz dictionary", "x.zip", func() []byte { return zipped(archivetest.ZipXZ, archivetest.XZDictionary(40), 5) }, nil, 1, ErrUnsupported, 2 * mib},
		{"itself", "x.zip", archivetest.SelfZip, nil, 1, ErrFormat, mib},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := tt.data()
			a := newStoreOf(t, Limits{}).Archive("t/0", tt.file, &memory{data: data}, nil)
			stop, begun := watchHeap(), time.Now()
			list, err := a.Members(t.Context())
			if tt.refused != nil {
				if !errors.Is(err, tt.refused) && !Refuses(err) || a.Refused() == nil {
					t.Errorf("%v, and %v is remembered", err, a.Refused())
				}
			} else if err != nil || len(list) != tt.members {
				t.Errorf("%d members, %v", len(list), err)
			}
			errs := readSome(t, list, 100)
			peak, took := stop(), time.Since(begun)
			runtime.KeepAlive(list)
			t.Logf("%d bytes: %.1f MiB of memory, %v", len(data), float64(peak)/mib, took)
			if peak > tt.peak {
				t.Errorf("it takes %d bytes of memory, more than %d", peak, tt.peak)
			}
			if took > 20*time.Second {
				t.Errorf("it takes %v", took)
			}
			if tt.errs == nil && len(errs) > 0 || tt.errs != nil && len(errs) == 0 {
				t.Errorf("reads fail with %v", errs)
			}
			for _, err := range errs {
				if !Refuses(err) {
					t.Errorf("a read fails with %v", err)
				}
			}
		})
	}
}

func zipped(method archivetest.ZipMethod, data []byte, size uint32) []byte {
	return archivetest.Zip(archivetest.ZipEntry{Name: "x", Method: method, Data: data, Size: size})
}

// TestLiesAboutSizes has members with more data, and with less, than they claim: what there is up to there may be read, nothing more.
func TestLiesAboutSizes(t *testing.T) {
	data := text(5, 100_000)
	for _, claim := range []int{99_000, 101_000} {
		for method, packed := range map[archivetest.ZipMethod][]byte{
			archivetest.ZipDeflate: archivetest.Deflated(t, data), archivetest.ZipZstd: append(archivetest.ZstdWindow(0)[:7], zstdRaw(data)...), archivetest.ZipStored: data,
		} {
			list, err := newStoreOf(t, Limits{}).Archive("t/0", "x.zip", &memory{data: zipped(method, packed, uint32(claim))}, nil).Members(t.Context())
			if err != nil || len(list) != 1 || list[0].Size != int64(claim) {
				t.Fatalf("%d members, %v", len(list), err)
			}
			got, err := io.ReadAll(io.NewSectionReader(readerAt(t.Context(), list[0].File), 0, int64(claim)))
			if !bytes.HasPrefix(data, got) {
				t.Errorf("method %d: other bytes", method)
			}
			if claim > len(data) && err == nil {
				t.Errorf("method %d, %d bytes claimed: %d are read without an error", method, claim, len(got))
			}
			if err != nil && !Refuses(err) {
				t.Errorf("method %d: %v", method, err)
			}
		}
	}
}

// zstdRaw returns raw blocks (RFC 8878, 3.1.1.2), of 1 KiB each.
func zstdRaw(data []byte) (b []byte) {
	for len(data) > 0 {
		n := min(len(data), 1024)
		last := 0
		if n == len(data) {
			last = 1
		}
		h := n<<3 | last
		b = append(append(b, byte(h), byte(h>>8), byte(h>>16)), data[:n]...)
		data = data[n:]
	}
	return b
}

// TestCVE_2025_3445_CVE_2026_54093_CVE_2026_59732_HostileNames: names with .., backslashes and absolute ones led out of the folder in
// mholt/archiver (CVE-2024-0406, too), File Browser (CVE-2026-62843) and rclone (CVE-2026-71309). Only names that are safe are shown, each once
// in its folder.
func TestCVE_2025_3445_CVE_2026_54093_CVE_2026_59732_HostileNames(t *testing.T) {
	deep := strings.Repeat("d/", 69) + "x"
	hostile := []string{
		"../../etc/passwd", "/etc/passwd", "//etc/passwd", "a/../../b", "..", ".", "", "/", "nul\x00x", strings.Repeat("n", 300), deep,
		`..\..\windows`, `C:\windows\system32`, `a\b\c`, "a/b", "a", "a/b/c", "dup", "dup", "dup", "new\nline", "bell\a", "right\u202eto left",
		"\xff\xfe", "  ", ". ", "con", "x/", "x", "./y", "z//z", strings.Repeat("p/", 31) + strings.Repeat("n", 255),
	}
	var zips []archivetest.ZipEntry
	var tars []archivetest.TarEntry
	for i, name := range hostile {
		e := archivetest.Stored(name, []byte("x"))
		e.DOS = i%2 == 0
		zips = append(zips, e)
		if len(name) <= 100 {
			tars = append(tars, archivetest.TarEntry{Name: name, Type: '0', Data: []byte("x")})
		}
	}
	for _, to := range []string{"/etc/passwd", "../../etc/passwd", "dup/../../../x", "", "\x00", "loop", "ok", strings.Repeat("x", 5000), "//", "a/../../.."} {
		e := archivetest.Stored("link"+to[:min(len(to), 3)], []byte(to))
		e.Link = true
		zips = append(zips, e)
		if len(to) <= 100 {
			tars = append(tars, archivetest.TarEntry{Name: "loop", Link: to, Type: '2'})
		}
	}
	for _, kind := range []byte{'3', '4', '6', 'Z'} {
		tars = append(tars, archivetest.TarEntry{Name: "device" + string(kind), Type: kind})
	}
	for file, data := range map[string][]byte{"x.zip": archivetest.Zip(zips...), "x.tar": archivetest.Tar(tars...)} {
		list, err := newStoreOf(t, Limits{}).Archive("t/0", file, &memory{data: data}, nil).Members(t.Context())
		if err != nil || len(list) < 10 {
			t.Fatalf("%s: %d members, %v", file, len(list), err)
		}
		seen := make(map[string]bool)
		for i, m := range list {
			key := fmt.Sprint(m.Parent, "/", m.Name)
			if seen[key] || m.Name == "" || m.Name == "." || m.Name == ".." || len(m.Name) > 255 || strings.ContainsAny(m.Name, "/\\\x00\n\a\u202e") {
				t.Errorf("%s: member %d is called %q", file, i, m.Name)
			}
			seen[key] = true
			depth := 1
			for p := m.Parent; p >= 0; p = list[p].Parent {
				if !list[p].Dir {
					t.Errorf("%s: %q is in %q, which is no folder", file, m.Name, list[p].Name)
				}
				depth++
			}
			if depth > 32 || strings.HasPrefix(m.Name, "device") || m.Name == "passwd" && depth != 2 {
				t.Errorf("%s: %q is %d deep", file, m.Name, depth)
			}
			if m.Link != "" && m.Link != "ok" && m.Link != "loop" || strings.HasPrefix(m.Link, "/") {
				t.Errorf("%s: a link says %.80q", file, m.Link)
			}
		}
		if errs := readSome(t, list, len(list)); len(errs) > 0 {
			t.Errorf("%s: %v", file, errs)
		}
	}
}

// TestNestedBomb looks into a zip in a zip in a zip…: two are folders, the third stays a file.
func TestNestedBomb(t *testing.T) {
	for depth, want := range map[int]int{0: 2, 3: 3, 9: 4} {
		a := newStoreOf(t, Limits{Depth: depth}).Archive("t/0", "x.zip", &memory{data: archivetest.NestedZip(20)}, nil)
		levels := 0
		for ; a != nil; levels++ {
			list, err := a.Members(t.Context())
			if err != nil || len(list) != 2 {
				t.Fatalf("%d deep there are %d members, %v", levels, len(list), err)
			}
			i := slices.IndexFunc(list, func(m Member) bool { return m.Name == "in.zip" })
			a = list[i].Archive
			if errs := readSome(t, list, 2); len(errs) > 0 {
				t.Error(errs)
			}
		}
		if levels != want {
			t.Errorf("with a depth of %d, %d archives are folders, want %d", depth, levels, want)
		}
	}
}

// TestManyReadersOfOneBlocks has many read at once where there are no checkpoints: what they take stays within a bound, whatever has
// to be decoded, and nothing is decoded twice. The limit of time is for reads that wait for one another.
func TestManyReadersOfOneBlocks(t *testing.T) {
	data, size := archivetest.OneBlock(64 << 20)
	var entries []archivetest.ZipEntry
	const members = 64
	for i := range members {
		entries = append(entries, archivetest.ZipEntry{Name: fmt.Sprint(i), Method: archivetest.ZipDeflate, Data: data, Size: uint32(size)})
	}
	store := newStoreOf(t, Limits{})
	list, err := store.Archive("t/0", "x.zip", &memory{data: archivetest.Zip(entries...)}, nil).Members(t.Context())
	if err != nil || len(list) != members {
		t.Fatalf("%d members, %v", len(list), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	stop, begun := watchHeap(), time.Now()
	var wg sync.WaitGroup
	for i := range list {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			var one [1]byte
			if _, err := list[i].File.ReadAt(ctx, one[:], 8<<20+random.Int64N(8<<20)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	peak, took := stop(), time.Since(begun)
	decoded := store.Stats().Inflated
	t.Logf("%.1f MiB of memory, %.0f MiB decoded, %v", float64(peak)/mib, float64(decoded)/mib, took)
	if peak > 400*mib {
		t.Errorf("it takes %d bytes of memory", peak)
	}
	if decoded > members*24*mib { // they read in the first 16
		t.Errorf("%d bytes are decoded", decoded)
	}
}
