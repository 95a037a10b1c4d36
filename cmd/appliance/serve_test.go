package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// TestRunWithoutBlocklist: it does not start without a protection that was asked for.
func TestRunWithoutBlocklist(t *testing.T) {
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	environ := []string{
		"SHOAL_DATA_DIR=" + dir, "SHOAL_BT_BLOCKLIST=" + filepath.Join(dir, "absent"), "SHOAL_BT_ADDR=127.0.0.1:0",
		"SHOAL_NFS_ADDR=127.0.0.1:0", "SHOAL_HTTP_ADDR=127.0.0.1:0", "SHOAL_PORTMAP_ADDR=off", "SHOAL_BT_DHT=false", "SHOAL_BT_LSD=false",
		"SHOAL_MDNS=false",
	}
	if got := run(t.Context(), nil, environ, &stdout, &stderr); got != exitFailed {
		t.Errorf("run without the blocklist returns %d, want %d", got, exitFailed)
	}
	if got := stderr.String(); !strings.Contains(got, "SHOAL_BT_BLOCKLIST: ") || !strings.Contains(got, "no such file") {
		t.Errorf("run without the blocklist prints %q, want the setting and the reason", got)
	}
}
