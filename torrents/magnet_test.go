package torrents

import (
	"errors"
	"testing"
)

// TestParseMagnetErrors: also of links that make the engine panic.
func TestParseMagnetErrors(t *testing.T) {
	for _, uri := range []string{
		"magnet:?xt=urn:btih:ABCDEFGHABCDEFGHABCDEFGHAB======", "magnet:?xt=urn:btih:ABCDEFGHABCDEFGH%0AABCDEFGHABCDEFG",
	} {
		got, err := parseMagnet(uri)
		if _, ok := errors.AsType[*InputError](err); !ok {
			t.Errorf("%.80q says %+v, %v, want an InputError", uri, got, err)
		}
	}
}
