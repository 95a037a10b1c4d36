package admin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"shoal/torrents"
)

func TestTorrentForms(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", folderTorrent("a", 3)).Infohash
	s.mustAdd(t, "films", torrentFile("taken", 5))
	path := "/torrents/" + ih.String()
	for _, test := range []struct {
		verb   string
		form   url.Values
		status int
		to     string
		check  func(torrents.Torrent) bool
	}{
		{"change", url.Values{"paused": {"true"}}, http.StatusSeeOther, path, func(t torrents.Torrent) bool { return t.Paused }},
		{"prefetch", url.Values{}, http.StatusConflict, "", func(t torrents.Torrent) bool { return t.Paused }},
		{"change", url.Values{"paused": {"false"}}, http.StatusSeeOther, path, func(t torrents.Torrent) bool { return !t.Paused }},
		{"change", url.Values{"pinned": {"true"}}, http.StatusSeeOther, path, func(t torrents.Torrent) bool { return t.Pinned }},
		{"evict", url.Values{}, http.StatusConflict, "", func(t torrents.Torrent) bool { return t.Pinned }},
		{"change", url.Values{"pinned": {"false"}}, http.StatusSeeOther, path, func(t torrents.Torrent) bool { return !t.Pinned }},
		{"change", url.Values{"name": {"b"}}, http.StatusSeeOther, path, func(t torrents.Torrent) bool { return t.Name == "b" }},
		{"change", url.Values{"route": {"music"}}, http.StatusSeeOther, path, func(t torrents.Torrent) bool { return t.Route == "music" }},
		{"change", url.Values{"route": {"films"}, "name": {"taken"}}, http.StatusConflict, "", func(t torrents.Torrent) bool { return t.Route == "music" }},
		{"change", url.Values{"name": {""}}, http.StatusBadRequest, "", func(t torrents.Torrent) bool { return t.Name == "b" }},
		{"change", url.Values{"name": {"a/b"}}, http.StatusBadRequest, "", func(t torrents.Torrent) bool { return t.Name == "b" }},
		{"change", url.Values{"name": {strings.Repeat("n", 4096)}}, http.StatusBadRequest, "", nil},
		{"change", url.Values{"route": {"none"}}, http.StatusBadRequest, "", nil},
		{"change", url.Values{"paused": {"maybe"}}, http.StatusBadRequest, "", nil},
		{"change", url.Values{"state": {"paused"}}, http.StatusBadRequest, "", nil},
		{"prefetch", url.Values{"path": {"nothing"}}, http.StatusNotFound, "", nil},
		{"evict", url.Values{"path": {"nothing"}}, http.StatusNotFound, "", nil},
		{"prefetch", url.Values{"path": {"sub/001"}, "folder": {"sub"}, "cursor": {""}}, http.StatusSeeOther, path + "?path=sub#files", nil},
		{"evict", url.Values{"path": {"sub"}, "folder": {""}}, http.StatusSeeOther, path + "#files", nil},
		{"evict", url.Values{}, http.StatusSeeOther, path, nil},
	} {
		a := s.browse(t, path+"/"+test.verb, test.form)
		wantStatus(t, a, test.status)
		if got := a.header.Get("Location"); got != test.to {
			t.Errorf("%s with %v leads to %q, want %q", a.what, test.form, got, test.to)
		}
		if test.status >= 400 {
			wantTexts(t, a, `role="alert" lang="en"`)
		}
		now, err := s.library.Torrent(ih)
		if err != nil {
			t.Fatal(err)
		}
		if test.check != nil && !test.check(now) {
			t.Errorf("after %s with %v the torrent is %+v", a.what, test.form, now)
		}
	}
	for _, verb := range []string{"change", "prefetch", "evict", "look", "delete"} {
		wantStatus(t, s.browse(t, "/torrents/"+otherHash+"/"+verb, url.Values{"paused": {"true"}, "archive": {"0"}}), http.StatusNotFound)
		wantStatus(t, s.browse(t, "/torrents/xyz/"+verb, url.Values{}), http.StatusBadRequest)
	}
}

func TestDeleteTorrentForm(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", torrentFile("a film", 5)).Infohash
	s.readers = []Reader{{Infohash: ih}}
	path := "/torrents/" + ih.String()
	ask := s.browse(t, path+"/delete", nil)
	wantTexts(t, ask, "<title>Delete a film? – Shoal</title>", "<bdi>a film</bdi>", "1 client is reading it", `action="`+path+`/delete"`)
	if _, err := s.library.Torrent(ih); err != nil {
		t.Fatalf("asking whether to delete a torrent has deleted it: %v", err)
	}
	done := s.browse(t, path+"/delete", url.Values{})
	wantStatus(t, done, http.StatusSeeOther)
	if to := done.header.Get("Location"); to != "/torrents" {
		t.Errorf("after deleting it goes on at %q, want /torrents", to)
	}
	if got := s.names(); len(got) > 0 {
		t.Errorf("the library has %q after deleting", got)
	}
	wantStatus(t, s.browse(t, path, nil), http.StatusNotFound)
	// What the form before has said is on the next page, once.
	cookie := done.header.Get("Set-Cookie")
	wantTexts(t, s.browse(t, "/", nil, "Cookie", strings.Split(cookie, ";")[0]), "a film is deleted.")
}
