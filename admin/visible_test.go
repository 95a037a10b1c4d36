package admin

import "testing"

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a film (1992) – Ünïcode 日本 \\": "a film (1992) – Ünïcode 日本 \\",
		"\u0645\u06cc\u200c\u062e":            "\u0645\u06cc\u200c\u062e",
		"a\u202egpj.exe":                      `a\u202egpj.exe`,
		"line\nfeed\x1b[2J\u200b\u00ad\ufeff": `line\nfeed\x1b[2J\u200b\u00ad\ufeff`,
		"\xff\xc3":                            `\xff\xc3`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}
