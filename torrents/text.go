package torrents

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleanText makes of what a stranger wrote a line of at most limit bytes: valid UTF-8, with a space for each
// run of spaces and of what cannot be printed. What was cut off is an ellipsis.
func cleanText(s string, limit int) string {
	var b strings.Builder
	gap := false
	for _, r := range s {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			gap = true
			continue
		}
		room := limit - b.Len() - utf8.RuneLen(r)
		if gap && b.Len() > 0 {
			room--
		}
		if room < 0 {
			return cutText(b.String(), limit)
		}
		if gap && b.Len() > 0 {
			b.WriteByte(' ')
		}
		gap = false
		b.WriteRune(r)
	}
	return b.String()
}

const ellipsis = "…"

// cutText makes room in s, of which more was to come, for an ellipsis.
func cutText(s string, limit int) string {
	for len(s) > limit-len(ellipsis) {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s + ellipsis
}
