package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestHandlerContract checks what package slog wants of a handler, by what the next one gets.
func TestHandlerContract(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return NewHandler(slog.NewJSONHandler(&out, nil), NewRecent(10, 1<<20))
	}, func(t *testing.T) map[string]any {
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return line
	})
}

// logged writes with a logger, and returns what was kept of it, as lines, and what was written.
func logged(t *testing.T, write func(*slog.Logger)) (kept, written string) {
	t.Helper()
	var out bytes.Buffer
	recent := NewRecent(DefaultRecords, DefaultBytes)
	write(slog.New(NewHandler(slog.NewTextHandler(&out, nil), recent)))
	var b []byte
	for _, r := range recent.Records(Query{Level: slog.LevelDebug}).Records {
		var err error
		if b, err = r.AppendText(b); err != nil {
			t.Fatal(err)
		}
	}
	return string(b), out.String()
}

type stringer struct{ text string }

func (s stringer) LogValue() slog.Value { return slog.AnyValue(errors.New(s.text)) }

type broken struct{}

func (*broken) Error() string { panic("no") }

// TestSecrets checks that nothing of a secret is kept or handed on, wherever it is.
func TestSecrets(t *testing.T) {
	const secret = "s3cr3ts3cr3ts3cr3t"
	link := "http://who:" + secret + "@t.example/" + secret + "/announce?passkey=" + secret
	for name, write := range map[string]func(*slog.Logger){
		"message": func(l *slog.Logger) { l.Info("asked " + link) }, //nolint:sloglint // what others log is tested, too
		"text":    func(l *slog.Logger) { l.Info("m", "url", link) },
		"error": func(l *slog.Logger) {
			l.Info("m", "err", fmt.Errorf("get: %w", &url.Error{Op: "Get", URL: link, Err: io.EOF}))
		},
		"list":      func(l *slog.Logger) { l.Info("m", "urls", []string{link}) },
		"bytes":     func(l *slog.Logger) { l.Info("m", "body", []byte(link)) },
		"valuer":    func(l *slog.Logger) { l.Info("m", "v", stringer{link}) },
		"group":     func(l *slog.Logger) { l.Info("m", slog.Group("g", "url", link, "token", secret)) },
		"key":       func(l *slog.Logger) { l.Info("m", "api_token", secret, "password", secret, "cookie", []string{secret}) },
		"with":      func(l *slog.Logger) { l.With("url", link).WithGroup("g").With("secret", secret).Info("m") },
		"key group": func(l *slog.Logger) { l.WithGroup("g").Info("m", "passkey", secret) },
	} {
		kept, written := logged(t, write)
		if strings.Contains(kept, secret) || !strings.Contains(kept, hidden) {
			t.Errorf("%s: kept is %s", name, kept)
		}
		if strings.Contains(written, secret) || !strings.Contains(written, hidden) {
			t.Errorf("%s: written is %s", name, written)
		}
	}
}

// TestOnce: a password that was made is printed, and not shown by the site.
func TestOnce(t *testing.T) {
	kept, written := logged(t, func(l *slog.Logger) { l.With("with", Once("first-1")).Warn("m", "token", Once("first-2")) })
	if strings.Contains(kept, "first") || strings.Count(kept, hidden) != 2 {
		t.Errorf("kept is %s", kept)
	}
	if !strings.Contains(written, " with=first-1 token=first-2\n") {
		t.Errorf("written is %s", written)
	}
}

func TestHostileValues(t *testing.T) {
	kept, written := logged(t, func(l *slog.Logger) {
		l.Info("m", "name", "a\u202eb\x1b[2J\nlevel=ERROR msg=\"forged\"", "long", strings.Repeat("ü", 5000), "nil", error((*broken)(nil)))
	})
	if got := strings.Count(kept, "\n"); got != 1 {
		t.Errorf("kept are %d lines: %s", got, kept)
	}
	if want := `name="a\u202eb\x1b[2J\nlevel=ERROR msg=\"forged\""`; !strings.Contains(kept, want) {
		t.Errorf("kept is %.300s, want in it %s", kept, want)
	}
	if len(kept) > maxValue+500 || !strings.Contains(kept, "ü"+ellipsis) {
		t.Errorf("%d bytes are kept", len(kept))
	}
	if !strings.Contains(kept, `nil="!PANIC: no"`) {
		t.Errorf("kept is %s", kept)
	}
	for _, s := range []string{kept, written} {
		if strings.ContainsAny(s, "\x1b\u202e") || strings.Contains(s, "\nlevel") {
			t.Errorf("not escaped: %q", s)
		}
	}
}

func TestKept(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	recent := NewRecent(10, 1<<20)
	h := NewHandler(slog.NewTextHandler(new(bytes.Buffer), nil), recent).WithAttrs([]slog.Attr{slog.Int("a", 1)}).WithGroup("g").WithGroup("")
	for range 2 { // handlers share what WithAttrs gave
		r := slog.NewRecord(at, slog.LevelWarn, "two words", 0)
		r.AddAttrs(slog.String("b", ""), slog.Group("h", slog.Duration("c", time.Second)), slog.Attr{}, slog.String("d e", `"x"=`)) //nolint:sloglint // of others, a key may be anything
		if err := h.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	page := recent.Records(Query{})
	if len(page.Records) != 2 || page.Records[0].ID != 2 || page.Records[1].ID != 1 {
		t.Fatalf("kept is %+v", page)
	}
	for _, r := range page.Records {
		b, err := r.AppendText(nil)
		want := `time=2026-01-02T03:04:05.006Z level=WARN msg="two words" a=1 g.b="" g.h.c=1s "g.d e"="\"x\"="` + "\n"
		if string(b) != want || err != nil {
			t.Errorf("kept is %s%v, want %s", b, err, want)
		}
	}
}

func TestManyAttrs(t *testing.T) {
	recent := NewRecent(10, 1<<20)
	log := slog.New(NewHandler(slog.NewTextHandler(new(bytes.Buffer), nil), recent))
	var attrs []any
	for range maxAttrs + 10 {
		attrs = append(attrs, slog.String(strings.Repeat("k", 1000), "v"))
	}
	log.Info("m", attrs...)
	r := recent.Records(Query{}).Records[0]
	if len(r.Attrs) != maxAttrs || len(r.Attrs[0].Key) > maxKey {
		t.Errorf("kept are %d attributes, the first with a key of %d bytes", len(r.Attrs), len(r.Attrs[0].Key))
	}
}
