package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
)

// sample is a torrent of our own making.
type sample struct {
	dir      string // holds the folder name
	name     string
	files    map[string][]byte // as Shoal shows them, by path below the folder
	metainfo []byte
}

func makeSample(dir string) (*sample, error) {
	s := &sample{dir: dir, name: "A small sample", files: map[string][]byte{
		"README.txt":              []byte("This came through BitTorrent, and you read it through NFS.\n"),
		"music/One long note.raw": noise(1, 6<<20),
		"music/Short one.raw":     noise(2, 300_000),
		"data/2026/numbers.csv":   []byte("n,square\n" + squares(2000)),
	}}
	archive, err := zipped("inside.txt", squares(500))
	if err != nil {
		return nil, err
	}
	seeded := maps.Clone(s.files)
	seeded["data/archive.zip"], s.files["data/archive.zip/inside.txt"] = archive, []byte(squares(500))
	for path, content := range seeded {
		full := filepath.Join(dir, s.name, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(full, content, 0o644); err != nil {
			return nil, err
		}
	}
	info := metainfo.Info{PieceLength: 64 << 10}
	if err := info.BuildFromFilePath(filepath.Join(dir, s.name)); err != nil {
		return nil, err
	}
	infoBytes, err := bencode.Marshal(info)
	if err != nil {
		return nil, err
	}
	s.metainfo, err = bencode.Marshal(metainfo.MetaInfo{InfoBytes: infoBytes, CreationDate: time.Now().Unix()})
	return s, err
}

// noise returns n bytes that do not compress and are the same each time.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

func squares(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,%d\n", i, i*i)
	}
	return b.String()
}

func zipped(name, content string) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	err = errors.Join(err, z.Close())
	return b.Bytes(), err
}

// seederClient is a BitTorrent client that has the sample.
type seederClient struct {
	client *torrent.Client
	addr   string
}

func seed(ctx context.Context, s *sample) (*seederClient, error) {
	cfg := torrent.NewDefaultClientConfig()
	cfg.ListenHost = func(string) string { return "127.0.0.1" }
	cfg.ListenPort = 0
	cfg.DisableIPv6, cfg.DisableUTP, cfg.NoDHT, cfg.NoDefaultPortForwarding = true, true, true, true
	cfg.Seed = true
	cfg.DataDir = s.dir
	completion := storage.NewMapPieceCompletion()
	cfg.DefaultStorage = storage.NewFileWithCompletion(s.dir, completion)
	cfg.Slogger = slog.New(slog.DiscardHandler)
	client, err := torrent.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	c := &seederClient{client: client, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(client.LocalPort()))}
	mi, err := metainfo.Load(bytes.NewReader(s.metainfo))
	if err == nil {
		var t *torrent.Torrent
		if t, err = client.AddTorrent(mi); err == nil {
			err = t.VerifyDataContext(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *seederClient) close() error { return errors.Join(c.client.Close()...) }
