package admin

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
)

// Names of routes have spaces and quotes. These write them so that whoever reads a command or a file gets the same name.

// plainInShell is what needs no quotes in a POSIX shell, beside letters and digits of ASCII.
const plainInShell = "@%+:,./_-"

// shellQuoted writes a word of a POSIX shell.
func shellQuoted(s string) string {
	special := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(plainInShell, c)
	}
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// fstabField writes a field of /etc/fstab, where blanks end it (fstab(5)).
func fstabField(s string) string {
	return strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`, "#", `\043`).Replace(s)
}

// yamlQuoted writes a string in YAML's double quotes.
func yamlQuoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// composeQuoted is yamlQuoted for Compose, which puts variables in place of what follows a dollar sign.
func composeQuoted(s string) string { return yamlQuoted(strings.ReplaceAll(s, "$", "$$")) }

// nfsURL is a URL as macOS reads it.
func nfsURL(host, path string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	return "nfs://" + strings.ReplaceAll(bracketed(host), "%", "%25") + strings.Join(segments, "/")
}

// bracketed is a host as it stands before a colon.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// uncHost is a host as it stands in \\host\share, where colons are not possible.
func uncHost(host string) string {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Is4() {
		return host
	}
	return strings.NewReplacer(":", "-", "%", "s").Replace(host) + ".ipv6-literal.net"
}
