//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	"golang.org/x/time/rate"
)

// readerRole is the argument of the program that reads a torrent with anacrolix/torrent's own Reader,
// which is what a program does that has that library and no file system between. Its task is on standard
// input, in JSON, and what it measured on standard output.
const readerRole = "as-reader"

// readerTask is what it has to do.
type readerTask struct {
	Torrent   string // path of the .torrent file
	Peer      string // who has it
	Dir       string // for what is downloaded
	Readahead int64  // bytes; 0 is none
	File      string // the original
	Size      int64
	Course    course
}

// reader carries out one task.
func reader(in io.Reader, out io.Writer) error {
	var t readerTask
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	file, err := os.Create(filepath.Join(t.Dir, "slab"))
	if err != nil {
		return err
	}
	client, err := torrent.NewClient(readerConfig(slab{file}))
	if err != nil {
		return err
	}
	p, err := t.read(client)
	if err := errors.Join(append(client.Close(), err)...); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(outcome{Pace: p})
}

// readerConfig is the best that is known for one stream: see the notes beside the appliance's own settings,
// in torrents/client.go.
func readerConfig(s slab) *torrent.ClientConfig {
	cfg := torrent.NewDefaultClientConfig()
	cfg.DefaultStorage = s
	cfg.ListenHost = func(string) string { return "127.0.0.1" }
	cfg.ListenPort = 0
	cfg.NoDHT, cfg.DisablePEX, cfg.DisableUTP, cfg.DisableWebtorrent = true, true, true, true
	cfg.DisableIPv6, cfg.NoDefaultPortForwarding, cfg.DisableTrackers = true, true, true
	cfg.PeriodicallyAnnounceTorrentsToDht = false
	cfg.DialRateLimiter = rate.NewLimiter(50, 50)
	cfg.StealRequestGrace = 500 * time.Millisecond
	return cfg
}

// read follows the course with one Reader.
func (t *readerTask) read(client *torrent.Client) (p pace, err error) {
	meta, err := metainfo.LoadFromFile(t.Torrent)
	if err != nil {
		return p, err
	}
	o, err := openOriginal(t.File, t.Size)
	if err != nil {
		return p, err
	}
	begin := time.Now()
	added, err := client.AddTorrent(meta)
	if err != nil {
		return p, err
	}
	added.AddPeers([]torrent.PeerInfo{{Addr: torrent.StringAddr(t.Peer), Source: torrent.PeerSourceDirect, Trusted: true}})
	s := &stretcher{Reader: added.NewReader(), original: o, buffer: make([]byte, largeRead)}
	s.SetReadahead(t.Readahead)
	ctx, cancel := context.WithTimeout(context.Background(), clientTime+t.Course.time())
	defer cancel()
	s.SetContext(ctx)
	if _, err = s.stretch(0, peek, 0); err != nil {
		return p, err
	}
	p.First = time.Since(begin)
	begin = time.Now()
	if p.Bytes, err = s.stretch(0, t.Course.atLeast(t.Size), t.Course.Length); err != nil {
		return p, err
	}
	p.Elapsed = time.Since(begin)
	for _, at := range t.Course.Seeks {
		begin := time.Now()
		if _, err := s.stretch(at, peek, 0); err != nil {
			return p, err
		}
		p.Seeks = append(p.Seeks, time.Since(begin))
		if _, err := s.stretch(at+peek, largeRead, t.Course.Stay); err != nil {
			return p, err
		}
	}
	return p, errors.Join(s.Close(), o.close())
}

// stretcher reads in places.
type stretcher struct {
	torrent.Reader

	original original
	buffer   []byte
}

// stretch reads on from a place, for a time or, if that is longer, until so many bytes were read.
func (s *stretcher) stretch(at, least int64, d time.Duration) (n int64, err error) {
	begin := time.Now()
	if _, err := s.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	for n < least || time.Since(begin) < d {
		b := s.buffer[:min(int64(len(s.buffer)), max(least, peek))]
		got, err := io.ReadFull(s, b)
		if err != nil {
			return n, fmt.Errorf("read at %d: %w", at+n, err)
		}
		if err := s.original.check(at+n, b[:got]); err != nil {
			return n, err
		}
		n += int64(got)
	}
	return n, nil
}
