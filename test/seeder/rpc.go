//go:build linux

package seeder

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Values of torrentState.Status that matter here.
const (
	statusDownload = 4
	statusSeed     = 6
)

var errUnknownTorrent = errors.New("transmission-daemon does not know the torrent")

// torrentState is what a test wants to know of a torrent. Its JSON names are Transmission's field names.
type torrentState struct {
	Status        int     `json:"status"`
	PercentDone   float64 `json:"percentDone"`
	LeftUntilDone int64   `json:"leftUntilDone"`
	UploadedEver  int64   `json:"uploadedEver"`
	Error         int     `json:"error"`
	ErrorString   string  `json:"errorString"`
}

// rpcClient speaks Transmission's RPC. It is safe for use by several goroutines.
type rpcClient struct {
	url  string
	http http.Client
}

func newRPCClient(port int) *rpcClient {
	return &rpcClient{
		url: fmt.Sprintf("http://127.0.0.1:%d/transmission/rpc", port),
		// No idle connection, and so no goroutine, outlives a call.
		http: http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// addTorrent gives the torrent to the daemon, with its data in dir, and returns its infohash.
func (c *rpcClient) addTorrent(ctx context.Context, torrentFile []byte, dir string) (infohash string, err error) {
	arguments := map[string]any{"metainfo": base64.StdEncoding.EncodeToString(torrentFile)}
	if dir != "" {
		arguments["download-dir"] = dir
	}
	type added struct {
		HashString string `json:"hashString"`
	}
	var reply struct {
		Added added `json:"torrent-added"`
		Known added `json:"torrent-duplicate"`
	}
	if err := c.call(ctx, "torrent-add", arguments, &reply); err != nil {
		return "", err
	}
	if reply.Known.HashString != "" {
		return "", fmt.Errorf("torrent %s was added before", reply.Known.HashString)
	}
	return reply.Added.HashString, nil
}

func (c *rpcClient) torrent(ctx context.Context, infohash string) (torrentState, error) {
	arguments := map[string]any{
		"ids":    []string{infohash},
		"fields": []string{"status", "percentDone", "leftUntilDone", "uploadedEver", "error", "errorString"},
	}
	var reply struct {
		Torrents []torrentState `json:"torrents"`
	}
	if err := c.call(ctx, "torrent-get", arguments, &reply); err != nil {
		return torrentState{}, err
	}
	if len(reply.Torrents) != 1 {
		return torrentState{}, fmt.Errorf("%w %s", errUnknownTorrent, infohash)
	}
	return reply.Torrents[0], nil
}

// call sends one request and decodes the reply's arguments into reply, unless that is nil.
func (c *rpcClient) call(ctx context.Context, method string, arguments, reply any) error {
	body, err := json.Marshal(map[string]any{"method": method, "arguments": arguments})
	if err != nil {
		return err
	}
	// The daemon wants a token against foreign web pages, and gives it with its refusal.
	response, err := c.post(ctx, body, "")
	if err == nil && response.StatusCode == http.StatusConflict {
		response.Body.Close()
		response, err = c.post(ctx, body, response.Header.Get(tokenHeader))
	}
	if err != nil {
		return fmt.Errorf("transmission-daemon, %s: %w", method, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("transmission-daemon, %s: HTTP %s", method, response.Status)
	}
	envelope := struct {
		Result    string `json:"result"`
		Arguments any    `json:"arguments"`
	}{Arguments: reply}
	if err := json.NewDecoder(response.Body).Decode(&envelope); err != nil {
		return fmt.Errorf("transmission-daemon, reply to %s: %w", method, err)
	}
	if envelope.Result != "success" {
		return fmt.Errorf("transmission-daemon, %s: %s", method, envelope.Result)
	}
	return nil
}

const tokenHeader = "X-Transmission-Session-Id"

func (c *rpcClient) post(ctx context.Context, body []byte, token string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set(tokenHeader, token)
	return c.http.Do(request)
}
