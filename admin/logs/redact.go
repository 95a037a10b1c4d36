package logs

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hidden is what stands where a secret was.
const hidden = "[redacted]"

// maxRedact bounds a text that is looked at and handed on, in bytes: a magnet link and an error around it. What is longer is cut.
const maxRedact = 128 << 10

// In a magnet link the URLs of trackers are escaped, and escaped once more in a URL that has one in it.
const (
	slash = `(?:/|%(?:25)*2f)`
	value = `(?:\\*"[^"]*|\\*'[^']*|[^\s&"'<>]*)` // behind a name; what is after an escaped & goes, too

	names = `pass[_-]?key|password|passwd|passphrase|pwd|secret|token|auth[_-]?key|api[_-]?key|rss[_-]?key|private[_-]?key|` +
		`torrent[_-]?pass|session[_-]?id|session|signature|credentials?|authorization|cookie`
)

// secretKey is the key of an attribute that is a secret as a whole.
var secretKey = regexp.MustCompile(`(?i)(?:^|[_.-])(?:` + names + `)$`)

// rule says what is taken out of a text: what follows the first group of the pattern, up to the second, if it has one.
type rule struct {
	signs   []string // a text, in lower case, that has none of them needs no look
	pattern *regexp.Regexp
	replace string
}

var rules = []rule{
	// Authorization: Basic …, also as Go prints a http.Header
	{
		[]string{"authorization", "cookie"},
		regexp.MustCompile(`(?i)\b((?:(?:proxy-)?authorization|(?:set-)?cookie)["'\\]*\s*[:=]\s*)[^\r\n]*`), "${1}" + hidden,
	},
	{[]string{"bearer"}, regexp.MustCompile(`(?i)\b(bearer\s+)[0-9a-z+/=._~-]{8,}`), "${1}" + hidden},
	// https://user:password@host
	{
		[]string{"@", "40"},
		regexp.MustCompile(`(?i)((?::|%(?:25)*3a)` + slash + slash + `)` +
			`(?:[^\s/?#"'<>%]|%(?:[0146789a-f][0-9a-f]|5[0-9a-f]|2[0-24-9a-e]|3[0-9a-e]))*(@|%(?:25)*40)`), "${1}" + hidden + "${2}",
	},
	// ?passkey=…, and password=… in words
	{[]string{"=", "3d"}, regexp.MustCompile(`(?i)((?:` + names + `)(?:\s*=\s*|%(?:25)*3d))` + value), "${1}" + hidden},
	// ?key=…: short names, which mean nothing elsewhere
	{
		[]string{"?", "&", "3f", "26"},
		regexp.MustCompile(`(?i)((?:[?&]|%(?:25)*(?:3f|26))(?:key|pass|auth|sid|pid|uk|sig|k)(?:=|%(?:25)*3d))` + value), "${1}" + hidden,
	},
	// {"password": "…"}, and password: … in words
	{
		[]string{":"},
		regexp.MustCompile(`(?i)\b((?:` + names + `)\\*["']?\s*:\s*)(?:\[[^\]\r\n]*\]|\\*"[^"]*|\\*'[^']*|[^\s"',;}\]]+)`), "${1}" + hidden,
	},
	// /0123456789abcdef0123456789abcdef/: most passkeys
	{[]string{"/", "2f"}, regexp.MustCompile(`(?i)(` + slash + `)[0-9a-f]{32}\b`), "${1}" + hidden},
}

// Other passkeys are beside what every tracker is asked for.
var (
	keyBefore = regexp.MustCompile(`(?i)(` + slash + `)([0-9a-z_~-]{8,})` + slash + `(?:announce|scrape)`)
	keyBehind = regexp.MustCompile(`(?i)((?:announce|scrape)(?:\.php)?` + slash + `)([0-9a-z_~-]{8,})`)
)

// Redact takes out of a text what lets somebody in: the passkeys in URLs of trackers, also those in magnet links, users and
// passwords of URLs, and the values of tokens, passwords, cookies and the header Authorization. It takes away too much rather than too little.
func Redact(s string) string {
	if len(s) > maxRedact {
		s = cut(s, maxRedact)
	}
	lower := strings.ToLower(s)
	for _, r := range rules {
		if hasAny(lower, r.signs...) {
			s = r.pattern.ReplaceAllString(s, r.replace)
		}
	}
	if hasAny(lower, "announce", "scrape") {
		s = replaceKey(keyBehind, replaceKey(keyBefore, s))
	}
	return s
}

func hasAny(s string, signs ...string) bool {
	return slices.ContainsFunc(signs, func(sign string) bool { return strings.Contains(s, sign) })
}

// replaceKey hides the second group of a pattern where it is not a word.
func replaceKey(pattern *regexp.Regexp, s string) string {
	var b strings.Builder
	end := 0
	for _, at := range pattern.FindAllStringSubmatchIndex(s, -1) {
		if isKey(s[at[4]:at[5]]) {
			b.WriteString(s[end:at[4]])
			b.WriteString(hidden)
			end = at[5]
		}
	}
	b.WriteString(s[end:])
	return b.String()
}

// isKey says whether a part of a path may be a secret: it is long, or has digits.
func isKey(s string) bool { return len(s) >= 16 || strings.ContainsAny(s, "0123456789") }

// escape makes visible what is not: control characters, and those that turn the direction of a text. lines says whether
// line ends and tabs stay, which slog's handlers escape themselves.
func escape(s string, lines bool) string {
	visible := func(r rune) bool { return unicode.IsGraphic(r) || lines && (r == '\n' || r == '\t') }
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !visible(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				b.WriteString(`\x`)
				b.WriteString(strconv.FormatUint(uint64(s[i]), 16))
				continue
			}
		}
		if visible(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

const ellipsis = "…"

// cut makes a text at most limit bytes long.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = s[:limit-len(ellipsis)]
	for len(s) > 0 {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s + ellipsis
}
