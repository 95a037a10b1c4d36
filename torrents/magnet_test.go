package torrents

import (
	"errors"
	"strings"
	"testing"
)

// TestParseMagnetErrors: also of links that make the engine panic.
func TestParseMagnetErrors(t *testing.T) {
	for _, uri := range []string{
		"magnet:?xt=urn:btih:ABCDEFGHABCDEFGHABCDEFGHAB======", "magnet:?xt=urn:btih:ABCDEFGHABCDEFGH%0AABCDEFGHABCDEFG",
		"magnet:?xt=urn:btih:" + strings.Repeat("0", 40), "magnet:?xt=urn:btmh:1220" + strings.Repeat("0", 64),
	} {
		got, err := parseMagnet(uri)
		if _, ok := errors.AsType[*InputError](err); !ok {
			t.Errorf("%.80q says %+v, %v, want an InputError", uri, got, err)
		}
	}
}
