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
	// shoalHome is where the one is at home that serves complete data.
	shoalHome = "shoal"
)

// startShoal runs the appliance, with the data in two complete torrents.
func startShoal(s setup, d *data) (*server, error) {
	home := filepath.Join(s.Dir, shoalHome)
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
	p, err := runShoal(s, home)
	if err != nil {
		return nil, err
	}
	for _, torrent := range [][]byte{file, folder} {
		added, err := upload(torrent)
		if err == nil && added.Cached != added.Size {
			err = fmt.Errorf("of its %d bytes %d are there: the cache is no longer what this program makes of it", added.Size, added.Cached)
		}
		if err != nil {
			return nil, fmt.Errorf("add a torrent of %d bytes: %w\n%s", len(torrent), err, p.tail())
		}
	}
	return &server{process: p, target: shoalTarget(p)}, nil
}

func shoalTarget(p *process) target {
	return target{Name: shoalName, PID: p.pid, NFS: shoalNFS, Mount: shoalNFS, Top: "/" + shoalRoute}
}

// runShoal starts an appliance whose state is below home, with more variables if given, and waits until
// it serves.
func runShoal(s setup, home string, env ...string) (*process, error) {
	p, err := launch(s.Dir, s.Log, append(append(os.Environ(),
		"SHOAL_DATA_DIR="+filepath.Join(home, "data"),
		"SHOAL_CACHE_DIR="+filepath.Join(home, "cache"),
		"SHOAL_NFS_ADDR="+shoalNFS,
		"SHOAL_HTTP_ADDR="+shoalHTTP,
		"SHOAL_PORTMAP_ADDR=off",
		"SHOAL_MDNS=false",
		"SHOAL_BT_ADDR=127.0.0.1:20469",
		"SHOAL_BT_DHT=false", "SHOAL_BT_LSD=false", "SHOAL_BT_PEX=false", "SHOAL_BT_UTP=false",
		"SHOAL_ROUTES="+shoalRoute,
		"SHOAL_API_TOKEN="+shoalToken,
	), env...), s.Appliance, "serve")
	if err != nil {
		return nil, err
	}
	return p, p.await(healthy)
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

// added is what the appliance says of a torrent.
type added struct{ Size, Cached int64 }

// upload adds a torrent as a person would.
func upload(torrent []byte) (added, error) { return uploadTo(shoalRoute, torrent) }

// uploadTo is upload for another route.
func uploadTo(route string, torrent []byte) (a added, err error) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("torrent", "bench.torrent")
	if err == nil {
		_, err = part.Write(torrent)
	}
	if err := errors.Join(err, w.WriteField("route", route), w.Close()); err != nil {
		return a, err
	}
	said, err := callShoal(http.MethodPost, "/api/v1/torrents", w.FormDataContentType(), &form, http.StatusCreated)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(said, &a); err != nil {
		return a, fmt.Errorf("%w in %.200q", err, said)
	}
	return a, nil
}

// callShoal calls the API. The error is that, too, of another status than the one that is wanted.
func callShoal(method, path, contentType string, body io.Reader, want int) ([]byte, error) {
	req, err := http.NewRequest(method, "http://"+shoalHTTP+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+shoalToken)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, said)
	}
	return said, nil
}
