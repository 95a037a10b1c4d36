package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strconv"

	"github.com/willscott/go-nfs-client/nfs"
	"github.com/willscott/go-nfs-client/nfs/rpc"
)

// add adds a .torrent file, as a browser or curl would.
func (a *applianceProcess) add(ctx context.Context, torrentFile []byte) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if err := w.WriteField("route", route); err != nil {
		return err
	}
	part, err := w.CreateFormFile("torrent", "sample.torrent")
	if err != nil {
		return err
	}
	if _, err := part.Write(torrentFile); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.httpAddr+"/api/v1/torrents", &form)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // what came is enough
		return fmt.Errorf("the API answers %s: %s", resp.Status, said)
	}
	return nil
}

// compare reads every file of the sample through NFS, and returns how many bytes that were. The error
// says which file is not as it should be.
func compare(ctx context.Context, nfsPort int, s *sample) (int, error) {
	client, err := rpc.DialTCP("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(nfsPort)), false)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	// The client knows no context.
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	defer context.AfterFunc(ctx, client.Close)()
	mount := nfs.Mount{Client: client}
	target, err := mount.Mount("/"+route+"/"+s.name, rpc.AuthNull)
	if err != nil {
		return 0, fmt.Errorf("mount: %w", err)
	}
	total := 0
	for path, want := range s.files {
		f, err := target.Open(path)
		if err != nil {
			return 0, fmt.Errorf("open %s: %w", path, err)
		}
		got, err := io.ReadAll(f)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", path, err)
		}
		if !bytes.Equal(got, want) {
			return 0, fmt.Errorf("%s has other bytes than the original", path)
		}
		total += len(got)
	}
	return total, nil
}
