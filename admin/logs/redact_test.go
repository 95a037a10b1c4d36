package logs

import (
	"strings"
	"testing"
	"unicode/utf8"
)

const key32 = "0123456789abcdef0123456789abcdef"

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"http://t.example/announce?passkey=" + key32 + "&info_hash=x": "http://t.example/announce?passkey=[redacted]&info_hash=x",
		"http://t.example/" + key32 + "/announce":                     "http://t.example/[redacted]/announce",
		"http://t.example:80/a1b2c3d4/announce":                       "http://t.example:80/[redacted]/announce",
		"https://t.example/announce/abcdefghijklmnop":                 "https://t.example/announce/[redacted]",
		"https://t.example/announce.php/a1b2c3d4?x=1":                 "https://t.example/announce.php/[redacted]?x=1",
		"https://t.example/rss/" + key32 + "/new":                     "https://t.example/rss/[redacted]/new",
		"https://t.example/announce?key=abcd":                         "https://t.example/announce?key=[redacted]",
		"https://user:pa%40ss&1@t.example/x":                          "https://[redacted]@t.example/x",
		"socks5://user:secret@127.0.0.1:1080":                         "socks5://[redacted]@127.0.0.1:1080",
		"magnet:?xt=urn:btih:" + key32 + "01234567&tr=http%3A%2F%2Ft.example%2Fa%3Fpasskey%3Dabc%26x%3D1&dn=n"://
		"magnet:?xt=urn:btih:" + key32 + "01234567&tr=http%3A%2F%2Ft.example%2Fa%3Fpasskey%3D[redacted]&dn=n",
		"tr=http%3a%2f%2ft.example%2f" + key32 + "%2fannounce": "tr=http%3a%2f%2ft.example%2f[redacted]%2fannounce",
		"u=http%253A%252F%252Fwho%253Apw%2540t.example%252F":   "u=http%253A%252F%252F[redacted]%2540t.example%252F",
		`Get "http://t/?token=abc": refused`:                   `Get "http://t/?token=[redacted]": refused`,
		"Authorization: Basic dXNlcjpwYXNz and more":           "Authorization: [redacted]",
		"map[Cookie:[a=b; c=d] Accept:[*]]":                    "map[Cookie:[redacted]",
		"sent Bearer abcdefgh12345":                            "sent Bearer [redacted]",
		`{"password": "hunter 2", "user":"u"}`:                 `{"password": [redacted]", "user":"u"}`,
		`{\"token\":\"abc\"}`:                                  `{\"token\":[redacted]"}`,
		"password: hunter2, again":                             "password: [redacted], again",
		"SHOAL_API_TOKEN=abc def":                              "SHOAL_API_TOKEN=[redacted] def",

		// No secrets.
		"":     "",
		"10 %": "10 %",
		"udp://tracker1.example.org:1337/announce":          "udp://tracker1.example.org:1337/announce",
		"http://bittorrent.example/bittorrent/announce":     "http://bittorrent.example/bittorrent/announce",
		"no SHOAL_API_TOKEN is set":                         "no SHOAL_API_TOKEN is set",
		"SHOAL_ADMIN_PASSWORD_FILE: open /run/secrets/pw":   "SHOAL_ADMIN_PASSWORD_FILE: open /run/secrets/pw",
		"Basic Instinct (1992), the author=Me, compass=1":   "Basic Instinct (1992), the author=Me, compass=1",
		"/data/torrents/" + key32 + "01234567.torrent":      "/data/torrents/" + key32 + "01234567.torrent",
		"mount -t nfs -o nfsvers=3,tcp,port=2049 HOST:/ /m": "mount -t nfs -o nfsvers=3,tcp,port=2049 HOST:/ /m",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q is redacted to %q, want %q", in, got, want)
		}
	}
}

func TestEscape(t *testing.T) {
	for _, test := range []struct{ in, want, lines string }{
		{"日本　語 é", "日本　語 é", "日本　語 é"},
		{"a\nb\tc\r", `a\nb\tc\r`, "a\nb\tc" + `\r`},
		{"\x1b[31m\u202egpj.exe\u2066\u009b", `\x1b[31m\u202egpj.exe\u2066\u009b`, `\x1b[31m\u202egpj.exe\u2066\u009b`},
		{"a\xff\ufffd", `a\xff` + "\ufffd", `a\xff` + "\ufffd"},
	} {
		if got := escape(test.in, false); got != test.want {
			t.Errorf("%q is shown as %q, want %q", test.in, got, test.want)
		}
		if got := escape(test.in, true); got != test.lines {
			t.Errorf("%q is handed on as %q, want %q", test.in, got, test.lines)
		}
	}
}

// FuzzRedact checks that a secret in a URL goes whatever is around it, and that what is redacted stays as it is.
func FuzzRedact(f *testing.F) {
	f.Add("", "")
	f.Add(`tr=`, `&dn=x`)
	f.Add(`"token="`, `" @`)
	f.Add("%25%2", "%%%")
	f.Add("password='", "/announce/")
	f.Fuzz(func(t *testing.T, before, behind string) {
		const secret = "Ff00Ff11Ff22Ff33Ff44Ff55Ff66Ff77"
		if len(before)+len(behind) > 4<<10 || strings.Contains(before+behind, "Ff") {
			return
		}
		for _, form := range []string{
			"http://t.example/announce?passkey=" + secret,
			" http://t.example/" + secret + "/announce",
			" tr=http%3A%2F%2Ft.example%2F" + secret + "%2Fannounce&x=",
			" http://user:" + secret + "@t.example/",
			" Authorization: Bearer " + secret + "\n",
		} {
			got := Redact(before + form + behind)
			if strings.Contains(got, secret) {
				t.Errorf("%q is redacted to %q", before+form+behind, got)
			}
			shown := escape(got, false)
			if !utf8.ValidString(shown) || strings.ContainsAny(shown, "\x00\n\r\x1b\u202e") {
				t.Errorf("%q is shown as %q", got, shown)
			}
			if len(cut(shown, maxValue)) > maxValue || utf8.ValidString(shown) && !utf8.ValidString(cut(shown, maxValue)) {
				t.Errorf("%q is cut to %q", shown, cut(shown, maxValue))
			}
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	line := "Get \"http://t.example/" + key32 + "/announce?info_hash=x&peer_id=y\": dial tcp 192.0.2.1:80: connection refused"
	for b.Loop() {
		Redact(line)
	}
}
