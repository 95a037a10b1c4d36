package names

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// split appends the clean names of a decoded path to names. isDir says that it ends in a separator.
func split(names []string, decoded string, backslash bool, o *Options) (clean []string, isDir bool, reason Reason) {
	separators := "/"
	if backslash {
		separators = `/\`
		if len(decoded) >= 3 && isLetter(decoded[0]) && decoded[1] == ':' && strings.IndexByte(separators, decoded[2]) >= 0 {
			decoded = decoded[3:]
		}
	}
	length := 0
	for rest := decoded; rest != ""; {
		name := rest
		if i := strings.IndexAny(rest, separators); i >= 0 {
			name, rest = rest[:i], rest[i+1:]
			isDir = rest == ""
		} else {
			rest = ""
		}
		switch name {
		case "", ".":
			isDir = isDir || rest == "" && name == "."
			continue
		case "..":
			return names, isDir, HasParent
		}
		if strings.IndexByte(name, 0) >= 0 {
			return names, isDir, HasNUL
		}
		name = cleanName(name)
		length += len(name) + 1
		switch {
		case len(name) > o.MaxName:
			return names, isDir, LongName
		case len(names) == o.MaxDepth:
			return names, isDir, Deep
		case length-1 > o.MaxPath:
			return names, isDir, LongPath
		}
		names = append(names, name)
	}
	return names, isDir, Kept
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// cleanName returns a name that any client can show, and that looks like what it is; most are so already, and cost nothing. Slashes,
// backslashes, control characters and what turns the direction of writing become "_", and a run of bytes that are not UTF-8 U+FFFD. Of
// characters, package torrents has the same rule for what is in a metainfo, and the two have the same test.
func cleanName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || unicode.IsControl(r) || turnsDirection(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
}

// turnsDirection says whether r shows what follows it in another order (explicit directional formatting, Unicode TR 9), which makes
// "gpj.exe" of a name that ends in ".jpg". The marks U+200E and U+200F turn nothing that is written in one direction, and names in Arabic and Hebrew have them.
func turnsDirection(r rune) bool {
	return r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069
}

// numbered returns name with " (n)" before its extension, the stem cut so that the whole stays within limit bytes with any number
// of up to six digits.
func numbered(name string, n, limit int) string {
	ext := path.Ext(name)
	// What is as long as that, or all there is, is no extension.
	if len(ext) > 16 || ext == name {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	if room := max(0, limit-len(ext)-len(" (000000)")); len(stem) > room {
		for room > 0 && !utf8.RuneStart(stem[room]) {
			room--
		}
		stem = stem[:room]
	}
	return fmt.Sprintf("%s (%d)%s", stem, n, ext)
}
