package torrents

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestLibraryIsQuiet has the library's errors as news, but for the one that each start has.
func TestLibraryIsQuiet(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("no more sockets"), "level=INFO"},
		{errNotResolved, "level=DEBUG"},
	} {
		var log bytes.Buffer
		for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
			log.Reset()
			handler := quiet{slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})}
			slog.New(handler).Error(fmt.Sprintf("error bootstrapping: %v", test.err)) //nolint:sloglint // as the library does
			seen := level == slog.LevelDebug || test.want == "level=INFO"
			if strings.Contains(log.String(), test.want) != seen {
				t.Errorf("at %v, %q is logged as %q, want %s", level, test.err, log.String(), test.want)
			}
		}
	}
}
