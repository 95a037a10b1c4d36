package watch

import (
	"bytes"
	"iter"
	"strings"
)

// MagnetLines yields the lines of a .magnet file that are not blank, and are no comment (which begins
// with #), with their numbers from 1 on. Lines end as on any system, and what spaces there are around
// them, or a mark of the encoding before, is left out.
func MagnetLines(b []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		b := bytes.TrimPrefix(b, []byte("\uFEFF"))
		number := 0
		for line := range bytes.Lines(b) {
			// A lone CR ended lines once.
			for part := range bytes.SplitSeq(bytes.TrimRight(line, "\r\n"), []byte("\r")) {
				number++
				text := strings.TrimSpace(string(part))
				if text != "" && !strings.HasPrefix(text, "#") && !yield(number, text) {
					return
				}
			}
		}
	}
}
