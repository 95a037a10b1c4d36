//go:build linux

package appliance

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Metrics returns what Prometheus would be told, by name with labels, as in `shoal_torrents{state="idle"}`.
func (a *Appliance) Metrics(tb testing.TB) map[string]float64 {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), callLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url("/metrics"), http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+Token)
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatalf("GET /metrics: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		tb.Fatalf("GET /metrics: status %d, %v: %.200s", resp.StatusCode, err, text)
	}
	metrics := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[end+1:], 64)
		if end < 0 || err != nil {
			tb.Fatalf("GET /metrics: a line is %q", line)
		}
		metrics[line[:end]] = value
	}
	return metrics
}
