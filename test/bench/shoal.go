//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
)

const (
	shoalName  = "Shoal"
	shoalNFS   = "127.0.0.1:20490"
	shoalHTTP  = "127.0.0.1:20444"
	shoalToken = "bench"
	shoalRoute = "bench"
)

// startShoal runs the appliance, with the data in two complete torrents.
func startShoal(s setup, d *data) (*server, error) {
	home := filepath.Join(s.Dir, "shoal")
	cache := filepath.Join(home, "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	file, err := fileTorrent(d, cache)
	if err != nil {
		return nil, err
	}
	folder, err := folderTorrent(d, cache)
	if err != nil {
		return nil, err
	}
	p, err := launch(s.Dir, s.Log, append(os.Environ(),
		"SHOAL_DATA_DIR="+filepath.Join(home, "data"),
		"SHOAL_CACHE_DIR="+cache,
		"SHOAL_NFS_ADDR="+shoalNFS,
		"SHOAL_HTTP_ADDR="+shoalHTTP,
		"SHOAL_PORTMAP_ADDR=off",
		"SHOAL_BT_ADDR=127.0.0.1:20469",
		"SHOAL_BT_DHT=false", "SHOAL_BT_LSD=false",
		"SHOAL_ROUTES="+shoalRoute,
		"SHOAL_API_TOKEN="+shoalToken,
	), s.Appliance, "serve")
	if err != nil {
		return nil, err
	}
	if err := p.await(healthy); err != nil {
		return nil, err
	}
	for _, torrent := range [][]byte{file, folder} {
		if err := upload(torrent); err != nil {
			return nil, fmt.Errorf("add a torrent of %d bytes: %w\n%s", len(torrent), err, p.tail())
		}
	}
	return &server{process: p, target: target{
		Name: shoalName, PID: p.pid, NFS: shoalNFS, Mount: shoalNFS, Top: "/" + shoalRoute,
	}}, nil
}

func healthy() error {
	resp, err := http.Get("http://" + shoalHTTP + "/healthz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// upload adds a torrent as a person would.
func upload(torrent []byte) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("torrent", "bench.torrent")
	if err == nil {
		_, err = part.Write(torrent)
	}
	if err := errors.Join(err, w.WriteField("route", shoalRoute), w.Close()); err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+shoalHTTP+"/api/v1/torrents", &form)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+shoalToken)
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s: %s", resp.Status, said)
	}
	var added struct{ Size, Cached int64 }
	if err := json.Unmarshal(said, &added); err != nil {
		return fmt.Errorf("%w in %.200q", err, said)
	}
	if added.Cached != added.Size {
		return fmt.Errorf("of its %d bytes %d are there: the cache is no longer what this program makes of it", added.Size, added.Cached)
	}
	return nil
}
