//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/klauspost/compress/flate"

	"shoal/test/complete"
	"shoal/test/libtorrent"
)

const (
	zipName    = "text.zip"
	memberName = "large.txt"
	smallCount = 16 // more members
	// maxMember is how large the large member is at most; the others have a 64th of it.
	maxMember = 1 << 30

	archiveReads = 200
	archiveRead  = 64 << 10
)

// What Shoal promises of members that are DEFLATE data.
const (
	readCPULimit   = 8.0 // ms for a random READ of 64 KiB
	readPieceLimit = 2.0 // pieces of 1 MiB that are fetched for it
	inflatedLimit  = 1.1 // bytes for one that is delivered, to a client whose READs overtake one another
	// sequentialLimit is of plain decoding, both by the clock, as a reader has it. Plain decoding needs one CPU, and Shoal takes all, so
	// what that is by CPU time is said beside it.
	sequentialLimit = 0.8
	indexLimit      = 0.3  // percent of the member
	memoryBase      = 64.0 // MiB, and one for each member that is open
)

// archiveBench measures what is in archives.
type archiveBench struct {
	*bench

	dir    string
	size   int64 // of the large member
	zip    string
	length int64 // of the zip
	all    figures
}

// runArchive measures members of archives.
func (b *bench) runArchive() error {
	a := &archiveBench{bench: b, dir: filepath.Join(b.Dir, "archives"), size: min(b.Size, maxMember), all: figures{}}
	begin := time.Now()
	if err := a.make(); err != nil {
		return fmt.Errorf("make the archive: %w", err)
	}
	say(b.out, "\nA member of %d MiB in a zip, and %d small ones: %.1f MiB of DEFLATE data, made in %.1f s.",
		a.size>>20, smallCount, float64(a.length)/(1<<20), time.Since(begin).Seconds())
	var home string
	for round := range b.SwarmRounds {
		err := b.quietly(round, func() (err error) {
			home, err = a.round(round)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := a.cold(home); err != nil {
		return err
	}
	a.mounted()
	a.report()
	if err := a.manyMembers(); err != nil {
		return err
	}
	if err := a.volumes(); err != nil {
		return err
	}
	return os.RemoveAll(a.dir)
}

func (a *archiveBench) member() string { return filepath.Join(a.dir, memberName) }

func smallName(i int) string { return fmt.Sprintf("small %d.txt", i) }

// make makes the members and the zip.
func (a *archiveBench) make() error {
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return err
	}
	files := [][2]string{{memberName, a.member()}}
	if err := writeText(a.member(), 0, a.size); err != nil {
		return err
	}
	for i := range smallCount {
		path := filepath.Join(a.dir, smallName(i))
		if err := writeText(path, byte(i+1), a.size/64); err != nil {
			return err
		}
		files = append(files, [2]string{smallName(i), path})
	}
	a.zip = filepath.Join(a.dir, zipName)
	if err := writeZip(a.zip, files...); err != nil {
		return err
	}
	st, err := os.Stat(a.zip)
	if err == nil {
		a.length = st.Size()
	}
	return err
}

// home makes a home whose cache has the whole zip, and returns its torrent.
func (a *archiveBench) completeHome(home string) ([]byte, error) {
	cache := filepath.Join(home, "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	info := metainfo.Info{PieceLength: pieceLength}
	if err := info.BuildFromFilePath(a.zip); err != nil {
		return nil, err
	}
	return complete.Put(&info, cache, func(path string) error { return os.Link(a.zip, path) })
}

// task is one of a client that reads the large member.
func (a *archiveBench) task(w workload, p places) task {
	return task{Workload: w.name, Name: zipName + "/" + memberName, File: a.member(), Size: a.size, Places: p}
}

// round measures a zip that is complete, once. It returns the home of the appliance that did it.
func (a *archiveBench) round(round int) (home string, err error) {
	home, err = os.MkdirTemp(a.Dir, "zip-")
	if err != nil {
		return "", err
	}
	torrent, err := a.completeHome(home)
	if err != nil {
		return "", err
	}
	plain, plainCPU, err := a.plain()
	if err != nil {
		return "", err
	}
	a.all.add("sequential", plainName, plain)
	a.all.add("sequential CPU", plainName, plainCPU)
	p, err := runShoal(a.setup, home)
	if err != nil {
		return "", err
	}
	defer p.end()
	if _, err := upload(torrent); err != nil {
		return "", err
	}
	if err := a.passes(&server{p, shoalTarget(p)}, round, plain, plainCPU); err != nil {
		return "", err
	}
	if err := p.stop(); err != nil {
		return "", err
	}
	index, err := bytesBelow(filepath.Join(home, "cache", "index"))
	a.all.add("index %", shoalName, 100*float64(index)/float64(a.size+smallCount*(a.size/64)))
	return home, err
}

// passes are what is read of a complete zip.
func (a *archiveBench) passes(s *server, round int, plain, plainCPU float64) error {
	empty, err := residentMiB(s.pid)
	if err != nil {
		return err
	}
	run := func(what string, p places) (measured, float64, error) {
		before, err := inflated()
		if err != nil {
			return measured{}, 0, err
		}
		o, err := a.ask(s, a.task(placesWorkload, p))
		if err != nil {
			return measured{}, 0, fmt.Errorf("%s: %w", what, err)
		}
		if o.Refused > 0 {
			say(a.out, "round %d  %s: %d of %d READs had to be sent again", round+1, what, o.Refused, o.Ops)
		}
		after, err := inflated()
		return o.measured, (after - before) / float64(o.Bytes), err
	}
	for _, pass := range []struct {
		what string
		places
	}{{"first pass", wholeFile(a.size)}, {"sequential", wholeFile(a.size)}, {"disorder", disorder(a.size)}} {
		m, ratio, err := run(pass.what, pass.places)
		if err != nil {
			return err
		}
		cost := m.ServerCPU.Seconds() / (float64(m.Bytes) / 1e9)
		a.all.add(pass.what, shoalName, throughput(m))
		a.all.add(pass.what+" ratio", shoalName, plainCPU/cost)
		a.all.add(pass.what+" rate", shoalName, throughput(m)/plain)
		a.all.add(pass.what+" CPU", shoalName, cost)
		a.all.add(pass.what+" inflated", shoalName, ratio)
		say(a.out, "round %d  %-10s %7.1f MB/s, %.2f × plain decoding; CPU %.2f s/GB, that of %.2f; %.3f bytes inflated for one",
			round+1, pass.what, throughput(m), throughput(m)/plain, cost, plainCPU, ratio)
	}
	m, ratio, err := run("random", anyPlaces(a.size, archiveReads, archiveRead, uint64(round)))
	if err != nil {
		return err
	}
	cpu := ms(m.ServerCPU) / float64(m.Ops)
	a.all.add("read CPU", shoalName, cpu)
	a.all.add("read p50", shoalName, ms(m.P50))
	say(a.out, "round %d  random     CPU %.2f ms for a READ, p50 %.2f ms, p99 %.2f ms; %.1f bytes inflated for one", round+1, cpu, ms(m.P50), ms(m.P99), ratio)
	most, err := mostMemory(func() error { // asking for it takes CPU time, which is not counted here
		for i := range smallCount {
			small := task{Workload: placesWorkload.name, Name: zipName + "/" + smallName(i), File: filepath.Join(a.dir, smallName(i)), Size: a.size / 64}
			small.Places = wholeFile(small.Size)
			if len(small.Places.Offsets) == 0 {
				small.Places = anyPlaces(small.Size, 1, 4096, 0)
			}
			if _, err := a.ask(s, small); err != nil {
				return err
			}
		}
		_, _, err := run("disorder", disorder(a.size))
		if err == nil {
			_, _, err = run("random", anyPlaces(a.size, archiveReads, archiveRead, uint64(round)+1000))
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.memory(s, round, empty, most)
}

// mostMemory returns the most memory for archives, in bytes, that the appliance says it has while something is done.
func mostMemory(do func() error) (most float64, err error) {
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			m, err := readMetrics("shoal_archive_memory_bytes")
			if err != nil {
				ended <- err
				return
			}
			most = max(most, m[0])
			select {
			case <-done:
				ended <- nil
				return
			case <-time.After(memoryPause):
			}
		}
	}()
	err = do()
	close(done)
	err = errors.Join(err, <-ended)
	return most, err
}

// memoryPause is between two looks at it.
const memoryPause = 20 * time.Millisecond

// memory notes what memory there is in use after all of that, and at the most.
func (a *archiveBench) memory(s *server, round int, empty, most float64) error {
	resident, err := residentMiB(s.pid)
	if err != nil {
		return err
	}
	peak, err := procMiB(s.pid, "VmHWM")
	if err != nil {
		return err
	}
	metrics, err := readMetrics("shoal_archive_open_members", "go_memstats_heap_inuse_bytes")
	if err != nil {
		return err
	}
	used, open := most/(1<<20), metrics[0]
	a.all.add("memory", shoalName, used)
	a.all.add("open", shoalName, open)
	a.all.add("resident", shoalName, resident-empty)
	a.all.add("peak", shoalName, peak)
	say(a.out, "round %d  memory     up to %.1f MiB for %.0f open members; resident %.1f MiB more than before, %.1f at most; heap %.1f MiB",
		round+1, used, open, resident-empty, peak, metrics[1]/(1<<20))
	return nil
}

// cold counts the pieces that are fetched for random READs of what was indexed before, with so few of them from an empty cache that they
// hardly meet each other's pieces.
func (a *archiveBench) cold(old string) error {
	seeds, err := libtorrent.Start(libtorrent.LargeBuffers, seederPort, loopback)
	if err != nil {
		return err
	}
	defer seeds.End()
	src, err := makeSource(a.zip, a.Dir, pieceLength)
	if err == nil {
		err = seed(seeds, src, a.dir)
	}
	if err != nil {
		return err
	}
	batch := int(min(20, max(1, a.length/pieceLength/17)))
	batches := archiveReads / 20
	if batch < 20 {
		batches = 2
	}
	var opened float64
	for i := range batches {
		first, rest, err := a.coldBatch(seeds, src, old, anyPlaces(a.size, batch, archiveRead, uint64(i)+2000))
		if err != nil {
			return err
		}
		opened += first / float64(batches)
		a.all.add("read pieces", shoalName, rest/float64(batch))
	}
	say(a.out, "%d × %d random READs from an empty cache, with what was learned before: the seeder sent %.2f pieces for each, and %.2f before the first one.",
		batches, batch, mean(a.all.of("read pieces", shoalName)), opened)
	return nil
}

// coldBatch reads in places from an empty cache, and returns how many pieces the seeder sent for a READ at the beginning, and for the rest.
func (a *archiveBench) coldBatch(seeds *libtorrent.Seeder, src *source, old string, p places) (first, rest float64, err error) {
	home, remove, err := a.home()
	if err != nil {
		return 0, 0, err
	}
	defer remove()
	for _, folder := range []string{"data", "cache/index"} { // all but the pieces: nothing is kept of torrents that are not known
		if err := os.CopyFS(filepath.Join(home, folder), os.DirFS(filepath.Join(old, folder))); err != nil {
			return 0, 0, err
		}
	}
	shoal, err := runShoal(a.setup, home, "SHOAL_BT_PEERS="+seederAddr)
	if err != nil {
		return 0, 0, err
	}
	defer shoal.end()
	var sent [3]float64
	for i, p := range []places{{}, {Offsets: []int64{0}, Length: 4096, InFlight: 1}, p} {
		if i > 0 {
			if _, err := a.ask(&server{shoal, shoalTarget(shoal)}, a.task(placesWorkload, p)); err != nil {
				return 0, 0, err
			}
		}
		bytes, err := seeds.Uploaded(src.infohash)
		if err != nil {
			return 0, 0, err
		}
		sent[i] = float64(bytes) / pieceLength
	}
	return sent[1] - sent[0], sent[2] - sent[1], nil
}

// report prints whether what is promised of the large member is so.
func (a *archiveBench) report() {
	of := func(what string) float64 { return median(a.all.of(what, shoalName)) }
	say(a.out, "")
	a.verdict(of("read CPU") <= readCPULimit, "archive: a random READ of %d KiB takes %s ms of CPU, has to be ≤ %.0f",
		archiveRead>>10, spread(a.all.of("read CPU", shoalName), "%.2f"), readCPULimit)
	pieces := mean(a.all.of("read pieces", shoalName))
	a.verdict(pieces <= readPieceLimit, "archive: a random READ fetches %.2f pieces of 1 MiB, has to be ≤ %.0f", pieces, readPieceLimit)
	for _, what := range []string{"first pass", "disorder"} {
		a.verdict(of(what+" inflated") <= inflatedLimit, "archive: %s inflates %.3f bytes for one that is delivered, has to be ≤ %.1f",
			what, of(what+" inflated"), inflatedLimit)
	}
	for _, what := range []string{"first pass", "sequential"} {
		a.verdict(of(what+" rate") >= sequentialLimit, "archive: %s is %s × plain decoding, has to be ≥ %.1f; by its CPU %.2f ×",
			what, spread(a.all.of(what+" rate", shoalName), "%.2f"), sequentialLimit, of(what+" ratio"))
	}
	a.verdict(of("index %") <= indexLimit, "archive: the index takes %.3f %% of the members, has to be ≤ %.1f", of("index %"), indexLimit)
	limit := memoryBase + of("open")
	a.verdict(of("memory") <= limit, "archive: memory for %.0f open members is up to %.1f MiB, has to be ≤ %.0f", of("open"), of("memory"), limit)
}

// plainName is decoding with klauspost/compress and nothing else.
const plainName = "plain"

// plain decodes the large member, and returns MB/s and CPU seconds for a GB.
func (a *archiveBench) plain() (rate, cpu float64, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f, err := os.Open(a.zip)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	var header [30]byte // APPNOTE 4.3.7
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return 0, 0, err
	}
	data := int64(len(header)) + int64(binary.LittleEndian.Uint16(header[26:])) + int64(binary.LittleEndian.Uint16(header[28:]))
	before, begin := threadCPU(), time.Now()
	decoder := flate.NewReader(bufio.NewReaderSize(io.NewSectionReader(f, data, a.length), archiveRead))
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{decoder}, make([]byte, archiveRead))
	if err == nil && n != a.size {
		err = fmt.Errorf("%d bytes come of plain decoding", n)
	}
	took := time.Since(begin).Seconds()
	return float64(n) / 1e6 / took, (threadCPU() - before).Seconds() / (float64(n) / 1e9), err
}

// threadCPU is that of this thread.
func threadCPU() time.Duration {
	const ofThread = 1 // RUSAGE_THREAD of getrusage(2)
	var u syscall.Rusage
	_ = syscall.Getrusage(ofThread, &u) // the arguments are right
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// inflated returns how many bytes the appliance has decoded.
func inflated() (float64, error) {
	m, err := readMetrics("shoal_archive_inflated_bytes_total")
	if err != nil {
		return 0, err
	}
	return m[0], nil
}

// readMetrics returns metrics of the appliance, by their names.
func readMetrics(names ...string) ([]float64, error) {
	text, err := callShoal(http.MethodGet, "/metrics", "", nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	values := make([]float64, len(names))
	for i, name := range names {
		_, rest, ok := bytes.Cut(text, []byte("\n"+name+" "))
		if !ok {
			return nil, errors.New("there is no metric " + name)
		}
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if values[i], err = strconv.ParseFloat(string(line), 64); err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
	}
	return values, nil
}

func residentMiB(pid int) (float64, error) { return procMiB(pid, "VmRSS") }

// procMiB is a line of /proc/PID/status.
func procMiB(pid int, name string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, name)
}

// bytesBelow adds up the files of a folder.
func bytesBelow(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		if err == nil {
			n += st.Size()
		}
		return err
	})
	return n, err
}

func mean(all []float64) (m float64) {
	for _, x := range all {
		m += x / float64(len(all))
	}
	return m
}
