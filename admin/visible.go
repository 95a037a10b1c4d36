package admin

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible shows what has no looks, as control characters and what turns a text around, as escapes: strangers choose names.
func visible(s string) string {
	// Persian words and emoji are joined with these two.
	looks := func(r rune) bool { return unicode.IsGraphic(r) || r == '\u200c' || r == '\u200d' }
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !looks(r) }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[i]), 16))
		case looks(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}
