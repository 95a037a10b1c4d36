package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"shoal/admin/logs"
)

// TestLogHasNoSecrets checks both formats of the log, and what the site shows of it. The first password is only in the former.
func TestLogHasNoSecrets(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, recent := newLogger(&Config{LogFormat: format, LogLevel: slog.LevelWarn}, &out)
		log.Info("not logged")
		log.Warn("a tracker", "url", "http://t.example/announce?passkey=topsecret")
		const made = "first-password"
		log.Warn("this is the first start", "password", logs.Once(made))
		if got := out.String(); strings.Contains(got, "topsecret") || strings.Count(got, made) != 1 || strings.Count(got, "\n") != 2 {
			t.Errorf("%s: the log is %s", format, got)
		}
		kept := recent.Records(logs.Query{Level: slog.LevelDebug}).Records
		if len(kept) != 2 {
			t.Fatalf("%s: %d records are kept, want 2", format, len(kept))
		}
		for _, r := range kept {
			b, _ := r.AppendText(nil)
			if strings.Contains(string(b), "topsecret") || strings.Contains(string(b), made) || !strings.Contains(string(b), "[redacted]") {
				t.Errorf("%s: kept is %s", format, b)
			}
		}
	}
}
