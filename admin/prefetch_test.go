package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestPrefetchAndEvict has a torrent that nobody seeds; what is fetched and freed is tested with the library.
func TestPrefetchAndEvict(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", folderTorrent("a", 3)).Infohash
	for what, done := range map[string]int{"prefetch": http.StatusAccepted, "evict": http.StatusOK} {
		path := s.torrentPath(ih, what)
		for body, want := range map[string]int{
			`{}`:                  done,
			`{"path":"sub"}`:      done,
			`{"path":"/sub/000"}`: done,
			`{"path":"nowhere"}`:  http.StatusNotFound,
			`{"path":"../x"}`:     http.StatusNotFound,
			`{"path":1}`:          http.StatusBadRequest,
			`{"file":"x"}`:        http.StatusBadRequest,
		} {
			wantStatus(t, s.json(t, http.MethodPost, path, body), want)
		}
		wantStatus(t, s.do(t, http.MethodPost, path, "", nil), done)
		wantStatus(t, s.do(t, http.MethodPost, path, "text/plain", strings.NewReader("sub")), http.StatusUnsupportedMediaType)
		wantStatus(t, s.json(t, http.MethodPost, "/api/v1/torrents/"+otherHash+"/"+what, `{}`), http.StatusNotFound)
		wantStatus(t, s.json(t, http.MethodPost, "/api/v1/torrents/xyz/"+what, `{}`), http.StatusBadRequest)
	}
	a := s.json(t, http.MethodPost, s.torrentPath(ih, "evict"), `{}`)
	if got := strings.TrimSpace(string(a.body)); got != `{"freed":0}` {
		t.Errorf("%s answers %s", a.what, got)
	}
	wantStatus(t, s.json(t, http.MethodPatch, "/api/v1/torrents/"+ih.String(), `{"paused":true}`), http.StatusOK)
	paused := s.json(t, http.MethodPost, s.torrentPath(ih, "prefetch"), `{}`)
	if wantStatus(t, paused, http.StatusConflict); !strings.Contains(string(paused.body), "The torrent is paused, so nothing of it is fetched.") {
		t.Errorf("%s answers %s", paused.what, paused.body)
	}
	wantStatus(t, s.json(t, http.MethodPatch, "/api/v1/torrents/"+ih.String(), `{"paused":false,"pinned":true}`), http.StatusOK)
	pinned := s.json(t, http.MethodPost, s.torrentPath(ih, "evict"), `{}`)
	if wantStatus(t, pinned, http.StatusConflict); !strings.Contains(string(pinned.body), "Unpin it first.") {
		t.Errorf("%s answers %s", pinned.what, pinned.body)
	}
	// Nobody seeds it, so these go on until the site is closed: again they are none more, and there is an end to them.
	many := s.mustAdd(t, "films", folderTorrent("many", 20)).Infohash
	refused := 0
	for range 3 {
		for i := range 20 {
			if s.json(t, http.MethodPost, s.torrentPath(many, "prefetch"), fmt.Sprintf(`{"path":"sub/%03d"}`, i)).status == http.StatusBadRequest {
				refused++
			}
		}
	}
	if refused != 3*4 {
		t.Errorf("%d of 60 were refused, want 12: the last 4 of 20, three times", refused)
	}
}
