package mount

import (
	"strings"
	"testing"
)

// TestCVE_2026_3864_PathsOutside: and CVE-2026-35605, CVE-2026-25890, CVE-2026-54097. csi-driver-nfs joined paths that lead out of the export, and
// File Browser compared how paths begin. Here a path is names that are looked up one by one, and none of them is "..".
func TestCVE_2026_3864_PathsOutside(t *testing.T) {
	v := serve(t, library(t, damaged))
	v.both(friend, func(t *testing.T, w *wire) {
		for _, outside := range []string{
			"/..", "..", "/../", "/../etc/passwd", "/films/..", "/films/../films", "/films/../../etc", "/films/a torrent/../../..", "/films/./a torrent",
			"/./films", "/films/...", `/films\..\..\etc`, `\films`, "/films/..\x00", "/films\x00/..", "/films/%2e%2e/etc", "/films%2f..", "/film", "/films2", "/filmsa torrent",
			"/FILMS", "/films ", " /films", "/etc", "/etc/passwd", "/proc/self/root", "/films/a torrent/" + strings.Repeat("../", 200) + "etc", "file:///films", "/\u2025/etc",
			"/films/\xc0\xae\xc0\xae/etc",
		} {
			w.expect(outside, 3, procMnt, path(outside), accepted(0, words(2)...))
		}
	})
}
