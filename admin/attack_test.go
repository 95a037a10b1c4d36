package admin

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/admin/access"
	"shoal/torrents"
	"shoal/tree"
)

// TestLocalAddresses: an address that a form or a link has brought along leads to nowhere else, whatever browsers make of it.
func TestLocalAddresses(t *testing.T) {
	for _, base := range []string{"", "/shoal"} {
		s := openSite(t)
		s.moveTo(base + "/")
		for _, next := range []string{
			"//evil.example", "//evil.example/", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "\t//evil.example", " //evil.example",
			"/\n/evil.example", "/\r/evil.example", "/\x00/evil.example", "/\x7f/evil.example", "https://evil.example", "https:evil.example", "http:///evil.example",
			"javascript:alert(1)", "data:text/html,x", "evil.example", "@evil.example", "/../..//evil.example", base + "/..//evil.example", base + "/../evil",
			base + "/%2e%2e//evil.example", base + "/x/%2E%2e/../evil", base + "/%zz/..//evil.example", "?//evil.example", "",
		} {
			form := url.Values{"user": {"admin"}, "password": {testPassword}, "next": {next}, "back": {next}}
			for _, a := range []answer{
				s.browseAs(t, "", base+"/login", form), s.browse(t, base+"/appearance", form), s.browse(t, base+"/login?next="+url.QueryEscape(next), nil),
			} {
				if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != base+"/" {
					t.Errorf("%s answers %d and leads %q to %q, want %q", a.what, a.status, next, got, base+"/")
				}
			}
		}
		for _, next := range []string{base + "/", base + "/torrents?q=//x&sort=a..b#c", base + "/fs/a/b%2Fc", base + "/add?uri=magnet%3A%3Fxt"} {
			a := s.browse(t, base+"/appearance", url.Values{"back": {next}})
			if got := a.header.Get("Location"); got != next {
				t.Errorf("it leads %q to %q", next, got)
			}
		}
	}
}

// TestNotesFitCookies: whatever strangers call their torrents, what is said of them afterwards fits a cookie, and is said.
func TestNotesFitCookies(t *testing.T) {
	s := openSite(t)
	for _, c := range []string{"<", "x", "日", "\u202e", "&", "\"", "é\xff"} {
		for _, n := range []int{0, 1, 300, 2000, 100_000} {
			rec := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			server := &server{base: ""}
			server.redirect(rec, r, "/", note{Text: "A" + strings.Repeat(c, n)})
			header := rec.Header().Get("Set-Cookie")
			if len(header) > 3000 {
				t.Errorf("%d times %q is a cookie of %d bytes", n, c, len(header))
			}
			a := answer{what: "a redirect", status: rec.Code, header: rec.Header()}
			if got := noteOf(t, s, a); !strings.HasPrefix(got, "A") || n > 10 && len(got) < 100 {
				t.Errorf("of %d times %q the next page says %q", n, c, got)
			}
		}
	}
}

// TestTooManyLinks: a form has limits for what is in it, not only for its bytes.
func TestTooManyLinks(t *testing.T) {
	s := openSite(t)
	many := strings.Repeat("a\n", maxTypedLinks+1)
	wantStatus(t, s.browse(t, "/add", url.Values{"links": {strings.Repeat("a\n", 10_000)}}), http.StatusOK)
	wantStatus(t, s.browse(t, "/add", url.Values{"links": {many}}), http.StatusBadRequest)
	parts := []part{{field: "do", content: []byte("preview")}}
	for range 3 {
		parts = append(parts, part{field: "links", content: []byte(many[:maxTypedLinks])})
	}
	contentType, body := form(t, parts...)
	r := like(t, http.MethodPost, "/add", string(body), map[string]string{"Content-Type": contentType})
	wantStatus(t, send(t, s.handler, r), http.StatusBadRequest)
	login := strings.NewReader("user=admin&password=" + strings.Repeat("x", maxLogin))
	r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login", login)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	wantStatus(t, send(t, s.handler, r), http.StatusRequestEntityTooLarge)
}

// TestCVE_2026_27944_PasskeysTold: who may only read learns no passkeys, which are in the addresses of trackers, and nobody sees them on a screen.
func TestCVE_2026_27944_PasskeysTold(t *testing.T) {
	const passkey = "0123456789abcdef0123456789abcdef"
	s := openSite(t)
	trackers := "d8:announce" + bencoded("https://user:geheim@tracker.example/"+passkey+"/announce") + "13:announce-listll" +
		bencoded("https://t.example/announce?passkey="+passkey) + bencoded("ftp://t.example/"+passkey+"/announce") + "ee"
	added := s.mustAdd(t, "films", []byte(strings.Replace(string(torrentFile("a", 1)), "d", trackers, 1)))
	link := "magnet:?xt=urn:btih:" + strings.Repeat("2", 40) + "&tr=" + url.QueryEscape("https://t.example/"+passkey+"/announce")
	if _, err := s.library.AddMagnet("films", link); err != nil {
		t.Fatal(err)
	}
	secret, _, err := s.access.AddToken("reader", access.RoleRead)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, c := range calls(t) {
		if c.method != http.MethodGet || c.template == "/api/v1/events" {
			continue
		}
		for _, ih := range []string{added.Infohash.String(), strings.Repeat("2", 40)} {
			for _, as := range []string{secret, testToken} {
				a := s.browse(t, c.path(t, "films", ih), nil, "Authorization", "Bearer "+as)
				wantNoTexts(t, a, passkey, "geheim")
				told += strings.Count(string(a.body), "t.example")
			}
		}
	}
	if told < 8 {
		t.Errorf("trackers are told of %d times: the test looks at nothing", told)
	}
}

// TestLogInEndsFormerSession: a browser that logs in again leaves no session behind, and does not keep the one that it came with, which others
// may have given it.
func TestLogInEndsFormerSession(t *testing.T) {
	s := openSite(t)
	former := s.logIn(t, testPassword)
	form := url.Values{"user": {"admin"}, "password": {testPassword}}
	a := s.browseAs(t, former, "/login", form)
	wantStatus(t, a, http.StatusSeeOther)
	if got := sessionOf(a); got == "" || got == former {
		t.Errorf("to log in gives the session %q", got)
	}
	if _, ok := s.access.Session(former); ok {
		t.Error("the session before is still good")
	}
	kept := s.logIn(t, testPassword)
	wantStatus(t, s.browseAs(t, kept, "/login", url.Values{"user": {"admin"}, "password": {"wrong"}}), http.StatusUnauthorized)
	if _, ok := s.access.Session(kept); !ok {
		t.Error("a wrong password has ended the session")
	}
	a = s.browseAs(t, strings.Repeat("A", 43), "/login", form)
	if got := sessionOf(a); got == strings.Repeat("A", 43) {
		t.Error("the session is one that the browser has brought along")
	}
}

// TestFSTellsLate: a file that fails long after it was asked for is answered with the error, and slow readers of that keep nothing.
func TestFSTellsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := make(chan struct{})
		content := &lateContent{fakeContent: &fakeContent{waits: true, wait: wait, data: []byte(hello)}, late: torrents.ErrGaveUp}
		s := newFSSite(t, map[string]tree.Content{"x.mkv": content})
		c := s.connect(t)
		request(t, c, "/fs/films/t/x.mkv")
		time.AfterFunc(time.Hour, func() { close(wait) })
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("after an hour it is answered %d, want %d", answer.StatusCode, http.StatusGatewayTimeout)
		}
	})
}

// lateContent fails when the wait is over.
type lateContent struct {
	*fakeContent

	late error
}

func (c *lateContent) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	if _, err := c.fakeContent.Await(ctx, off, n); err != nil {
		return nil, err
	}
	return nil, c.late
}
