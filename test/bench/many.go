//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"shoal/test/libtorrent"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

const (
	manyPieces = 200 // of each torrent
	manyPage   = 100 // torrents in a page of the API
	// liveName is the file of the one torrent that somebody has.
	liveName = "The One.mkv"
)

// runMany measures an appliance with a large library, of which nobody reads anything but, at the end, one.
func (b *bench) runMany() error {
	say(b.out, "\nA library of %d torrents of %d pieces, of which one has a seeder.", b.Torrents, manyPieces)
	dir, remove, err := b.home()
	if err != nil {
		return err
	}
	defer remove()
	live, err := liveSource(dir, manyPieces)
	if err != nil {
		return err
	}
	seeds, err := libtorrent.Start(libtorrent.LargeBuffers, seederPort, loopback)
	if err != nil {
		return err
	}
	defer seeds.End()
	if err := seed(seeds, live, dir); err != nil {
		return err
	}
	if err := b.addMany(dir, live); err != nil {
		return err
	}
	begin := time.Now()
	p, err := runShoal(b.setup, dir, "SHOAL_BT_PEERS="+seederAddr)
	if err != nil {
		return err
	}
	defer p.end()
	healthy := time.Since(begin)
	before, err := cpuTime(p.pid)
	if err != nil {
		return err
	}
	time.Sleep(b.Idle)
	after, err := cpuTime(p.pid)
	if err != nil {
		return err
	}
	pages, err := walkPages(b.Torrents)
	if err != nil {
		return err
	}
	o, err := b.ask(&server{p, shoalTarget(p)}, task{
		Workload: courseWorkload.name, Name: liveName, File: filepath.Join(dir, liveName), Size: manyPieces * smallPiece,
	})
	if err != nil {
		return err
	}
	resident, err := memory(p.pid, "VmRSS")
	if err != nil {
		return err
	}
	most, err := memory(p.pid, "VmHWM")
	if err != nil {
		return err
	}
	say(b.out, "Memory at the end %d MiB, at most %d MiB; a page p99 %.1f ms.\n", resident>>20, most>>20, ms(percentile(pages, 99)))
	idle := (after - before).Seconds() / b.Idle.Seconds()
	page := percentile(pages, 50)
	b.verdict(healthy <= 5*time.Second, "many: it serves %.2f s after its start, has to be ≤ 5", healthy.Seconds())
	b.verdict(most <= 400<<20, "many: it takes %d MiB of memory, has to be ≤ 400", most>>20)
	b.verdict(idle <= 0.02, "many: idle, it takes %.2f %% of a core, has to be ≤ 2", 100*idle)
	b.verdict(page <= 50*time.Millisecond, "many: the p50 of a page of %d is %.1f ms, has to be ≤ 50", manyPage, ms(page))
	b.verdict(o.Pace.First <= time.Second, "many: the first byte of one takes %.0f ms, has to be ≤ 1000", ms(o.Pace.First))
	return nil
}

// smallPiece is the length of the pieces of the one that is there.
const smallPiece = 256 << 10

// liveSource makes the one torrent that somebody has, of so many pieces.
func liveSource(dir string, pieces int64) (*source, error) {
	path := filepath.Join(dir, liveName)
	if err := writeRandom(path, pieces*smallPiece, 3); err != nil {
		return nil, err
	}
	return makeSource(path, dir, smallPiece)
}

// addMany has an appliance add all of them.
func (b *bench) addMany(dir string, live *source) error {
	return b.prepare(dir, func() error {
		if _, err := upload(live.content); err != nil {
			return err
		}
		r := rand.NewChaCha8([32]byte{4})
		for i := range b.Torrents - 1 {
			torrent, err := deadTorrent(i, r)
			if err != nil {
				return err
			}
			if _, err := upload(torrent); err != nil {
				return fmt.Errorf("add torrent %d: %w", i, err)
			}
		}
		return nil
	})
}

// prepare has an appliance add torrents, and ends it as an operator does.
func (b *bench) prepare(dir string, add func() error, env ...string) error {
	p, err := runShoal(b.setup, dir, env...)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := add(); err != nil {
		return err
	}
	say(b.out, "To add them took %.1f s.", time.Since(begin).Seconds())
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-p.ended
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("the appliance ended with %s:\n%s", p.state(), p.tail())
	}
	return nil
}

// deadTorrent makes a torrent of a folder with some files, which nobody has.
func deadTorrent(i int, r *rand.ChaCha8) ([]byte, error) {
	const length = 1 << 20
	info := metainfo.Info{Name: fmt.Sprintf("A.Film.of.%d.(%05d).1080p.BluRay.x264", 1950+i%70, i), PieceLength: length}
	rest := int64(manyPieces * length)
	for _, name := range []string{"Sample/sample.mkv", "film.nfo", "film.en.srt", "film.fr.srt"} {
		info.Files = append(info.Files, metainfo.FileInfo{Length: 50_000, Path: strings.Split(name, "/")})
		rest -= 50_000
	}
	info.Files = append(info.Files, metainfo.FileInfo{Length: rest, Path: []string{"film.mkv"}})
	info.Pieces = make([]byte, manyPieces*metainfo.HashSize)
	_, _ = r.Read(info.Pieces) // has no error
	encoded, err := bencode.Marshal(info)
	if err != nil {
		return nil, err
	}
	return bencode.Marshal(metainfo.MetaInfo{InfoBytes: encoded})
}

// walkPages lists all torrents, and returns how long each page took.
func walkPages(torrents int) (times []time.Duration, err error) {
	listed := 0
	for cursor := ""; ; {
		query := url.Values{"limit": {strconv.Itoa(manyPage)}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		begin := time.Now()
		said, err := callShoal(http.MethodGet, "/api/v1/torrents?"+query.Encode(), "", http.NoBody, http.StatusOK)
		if err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
		var page struct {
			Torrents []struct{} `json:"torrents"`
			Next     string     `json:"next"`
		}
		if err := json.Unmarshal(said, &page); err != nil {
			return nil, fmt.Errorf("%w in %.200q", err, said)
		}
		if listed += len(page.Torrents); page.Next == "" {
			break
		}
		cursor = page.Next
	}
	if listed != torrents {
		return nil, fmt.Errorf("%d torrents are listed, and not the %d that there are", listed, torrents)
	}
	return times, nil
}

// memory returns a value of /proc/PID/status, in bytes.
func memory(pid int, field string) (int64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte(field+":")); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(value)), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in the status of process %d", field, pid)
}
