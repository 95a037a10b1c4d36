package admin

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"shoal/admin/logs"
)

type recordList struct {
	Records []recordJSON `json:"records"`
	Next    string       `json:"next"`
}

func (l recordList) messages() []string {
	list := []string{}
	for _, r := range l.Records {
		list = append(list, r.Message)
	}
	return list
}

// logSite is a site with a log of four records.
func logSite(t *testing.T) *site {
	t.Helper()
	s := openSite(t)
	log := slog.New(logs.NewHandler(slog.NewTextHandler(new(bytes.Buffer), &slog.HandlerOptions{Level: slog.LevelDebug}), s.recent))
	log.Debug("one")
	log.Info("two", "url", "http://t.example/announce?passkey=topsecret", "name", "<script>\u202e")
	log.Warn("three", "token", logs.Once("topsecret"))
	log.Error("four", "cause", "Disk full")
	return s
}

func TestListLogs(t *testing.T) {
	s := logSite(t)
	for query, want := range map[string][]string{
		"":                {"four", "three", "two", "one"},
		"?format=json":    {"four", "three", "two", "one"},
		"?level=INFO":     {"four", "three", "two"},
		"?level=error":    {"four"},
		"?q=cause%3DDISK": {"four"},
		"?q=T&level=warn": {"three"},
		"?q=topsecret":    {},
		"?q=TWO&limit=1":  {"two"},
		"?limit=2":        {"four", "three"},
		"?q=nothing":      {},
	} {
		a := s.get(t, "/api/v1/logs"+query)
		wantStatus(t, a, http.StatusOK)
		if got := decode[recordList](t, a).messages(); !slices.Equal(got, want) {
			t.Errorf("%s lists %q, want %q", query, got, want)
		}
		if strings.Contains(string(a.body), "topsecret") {
			t.Errorf("%s answers with a secret: %s", query, a.body)
		}
	}
	two := decode[recordList](t, s.get(t, "/api/v1/logs?q=two")).Records[0]
	want := []attrJSON{{"url", "http://t.example/announce?passkey=[redacted]"}, {"name", `<script>\u202e`}}
	if two.ID != 2 || two.Level != "info" || two.Time.IsZero() || !slices.Equal(two.Attrs, want) {
		t.Errorf("a record is %+v, want the attributes %+v", two, want)
	}
}

func TestListLogsPages(t *testing.T) {
	s := logSite(t)
	var got []string
	next := ""
	for {
		a := s.get(t, "/api/v1/logs?limit=1&level=info&cursor="+url.QueryEscape(next))
		wantStatus(t, a, http.StatusOK)
		list := decode[recordList](t, a)
		got = append(got, list.messages()...)
		if next = list.Next; next == "" {
			break
		}
	}
	if want := []string{"four", "three", "two"}; !slices.Equal(got, want) {
		t.Errorf("the pages have %q, want %q", got, want)
	}
}

func TestListLogsBadly(t *testing.T) {
	s := logSite(t)
	for _, query := range []string{"level=loud", "limit=0", "limit=1001", "cursor=x", "cursor=LTE", "format=xml", "format=xml&level=info"} {
		wantStatus(t, s.get(t, "/api/v1/logs?"+query), http.StatusBadRequest)
	}
}

func TestDownloadLogs(t *testing.T) {
	s := logSite(t)
	a := s.get(t, "/api/v1/logs?format=text&level=info&limit=1")
	wantStatus(t, a, http.StatusOK)
	if got, want := a.header.Get("Content-Type"), "text/plain; charset=utf-8"; got != want {
		t.Errorf("the log has the type %q, want %q", got, want)
	}
	got := a.header.Get("Content-Disposition")
	if !regexp.MustCompile(`^attachment; filename="shoal-\d{8}T\d{6}Z\.log"$`).MatchString(got) {
		t.Errorf("the log has the Content-Disposition %q", got)
	}
	body := regexp.MustCompile(`(?m)^time=\S+ `).ReplaceAllString(string(a.body), "")
	want := "level=INFO msg=two url=\"http://t.example/announce?passkey=[redacted]\" name=<script>\\u202e\n" +
		"level=WARN msg=three token=[redacted]\nlevel=ERROR msg=four cause=\"Disk full\"\n"
	if body != want {
		t.Errorf("the log is\n%s, want\n%s", body, want)
	}
}
