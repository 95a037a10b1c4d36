package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"shoal/torrents"
)

// shelf is Archives of one torrent.
type shelf struct {
	mu     sync.Mutex
	of     torrents.Infohash
	list   []Archive
	looked []string // places that were looked into
	err    error    // of Look
}

func (s *shelf) List(ih torrents.Infohash, query ArchiveQuery) (ArchivePage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := ArchivePage{Archives: []Archive{}}
	if ih != s.of {
		return page, nil
	}
	behind := query.After == ""
	for _, a := range s.list {
		if query.State != "" && a.State != query.State {
			continue
		}
		page.Total++
		switch {
		case !behind:
			behind = a.Place == query.After
		case len(page.Archives) == query.Limit:
			page.More = true
		default:
			page.Archives = append(page.Archives, a)
		}
	}
	return page, nil
}

func (s *shelf) Look(_ context.Context, ih torrents.Infohash, place string) (Archive, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.list, func(a Archive) bool { return a.Place == place })
	if ih != s.of || i < 0 {
		return Archive{}, fmt.Errorf("archive %s of torrent %s: %w", place, ih, torrents.ErrNotFound)
	}
	s.looked = append(s.looked, place)
	return s.list[i], s.err
}

func (s *shelf) Refused(ih torrents.Infohash) int {
	page, _ := s.List(ih, ArchiveQuery{State: ArchiveRefused, Limit: len(s.list)})
	return page.Total
}

type archiveList struct {
	Archives []Archive `json:"archives"`
	Total    int       `json:"total"`
	Next     string    `json:"next"`
}

// shelved is a site with a torrent that has archives in each state.
func shelved(t testing.TB) (s *site, ih torrents.Infohash) {
	t.Helper()
	s = openSite(t)
	ih = s.mustAdd(t, "films", folderTorrent("a", 3)).Infohash
	s.inside.of = ih
	s.inside.list = []Archive{
		{Place: "0", Path: "a.zip", Size: 10, State: ArchiveFolder, Members: new(2)},
		{Place: "0-1", Path: "a.zip/b.zip", Size: 5, State: ArchiveRefused, Reason: "archive is not supported: encrypted"},
		{Place: "3", Path: "c.tar.gz", Size: 7, State: ArchiveWaiting},
		{Place: "11", Path: "d.rar", Size: 1 << 40, State: ArchiveUnread},
		{Place: "12", Path: "e.rar", Size: 9, State: ArchiveReading},
	}
	return s, ih
}

func TestListArchives(t *testing.T) {
	s, ih := shelved(t)
	path := s.torrentPath(ih, "archives")
	for _, limit := range []int{1, 2, 4, 5, 1000} {
		var all []string
		for next := ""; ; {
			a := s.get(t, path+"?limit="+strconv.Itoa(limit)+"&cursor="+url.QueryEscape(next))
			wantStatus(t, a, http.StatusOK)
			page := decode[archiveList](t, a)
			if len(page.Archives) > limit || page.Total != 5 {
				t.Errorf("%s with the limit %d has %d rows of %d", a.what, limit, len(page.Archives), page.Total)
			}
			for _, row := range page.Archives {
				all = append(all, row.Place)
			}
			if next = page.Next; next == "" {
				break
			}
		}
		if want := []string{"0", "0-1", "3", "11", "12"}; !slices.Equal(all, want) {
			t.Errorf("pages of %d have %q, want %q", limit, all, want)
		}
	}
	a := s.get(t, path+"?state=refused")
	const want = `{"archives":[{"archive":"0-1","path":"a.zip/b.zip","size":5,"state":"refused",` +
		`"reason":"archive is not supported: encrypted","members":null}],"total":1}`
	if got := strings.TrimSpace(string(a.body)); got != want {
		t.Errorf("%s answers\n%s, want\n%s", a.what, got, want)
	}
	if got := decode[torrentJSON](t, s.get(t, "/api/v1/torrents/"+ih.String())); got.ArchivesRefused != 1 {
		t.Errorf("the torrent has %d archives that were refused, want 1", got.ArchivesRefused)
	}
	for query, want := range map[string]int{
		"?state=open": http.StatusBadRequest, "?limit=0": http.StatusBadRequest, "?limit=1001": http.StatusBadRequest,
		"?cursor=x": http.StatusBadRequest, "?cursor=" + encodeCursor("1/2"): http.StatusBadRequest, "?cursor=" + encodeCursor(1): http.StatusBadRequest,
	} {
		wantStatus(t, s.get(t, path+query), want)
	}
	wantStatus(t, s.get(t, "/api/v1/torrents/"+otherHash+"/archives"), http.StatusNotFound)
	wantStatus(t, s.get(t, "/api/v1/torrents/xyz/archives"), http.StatusBadRequest)
	other := s.mustAdd(t, "films", torrentFile("b", 1)).Infohash
	if got, want := strings.TrimSpace(string(s.get(t, s.torrentPath(other, "archives")).body)), `{"archives":[],"total":0}`; got != want {
		t.Errorf("of a torrent without archives: %s, want %s", got, want)
	}
}

func TestLookIntoArchive(t *testing.T) {
	s, ih := shelved(t)
	post := func(ih, place string) answer {
		return s.do(t, http.MethodPost, "/api/v1/torrents/"+ih+"/archives/"+place, "", nil)
	}
	for place, want := range map[string]int{
		"0": http.StatusOK, "0-1": http.StatusOK, "12": http.StatusAccepted,
		"1": http.StatusNotFound, "0-2": http.StatusNotFound,
		"00": http.StatusBadRequest, "-1": http.StatusBadRequest, "0-": http.StatusBadRequest, "a.zip": http.StatusBadRequest,
		"9999999999": http.StatusBadRequest, "0%2F1": http.StatusNotFound, "0-0-0-0-0-0-0-0-0": http.StatusBadRequest,
	} {
		s.inside.looked = nil
		a := post(ih.String(), place)
		wantStatus(t, a, want)
		if looks := want < 300; looks != slices.Equal(s.inside.looked, []string{place}) {
			t.Errorf("%s looks into %q", a.what, s.inside.looked)
		}
		if want < 300 {
			if got := decode[Archive](t, a); got.Place != place {
				t.Errorf("%s answers with the archive %q", a.what, got.Place)
			}
		}
	}
	wantStatus(t, post(otherHash, "0"), http.StatusNotFound)
	wantStatus(t, post("xyz", "0"), http.StatusBadRequest)
	for _, test := range []struct {
		err  error
		want int
	}{
		{ErrBusy, http.StatusTooManyRequests},
		{ErrNoRoom, http.StatusConflict},
		{torrents.ErrPaused, http.StatusConflict},
		{torrents.ErrCacheTooSmall, http.StatusConflict},
		{torrents.ErrGaveUp, http.StatusGatewayTimeout},
		{torrents.ErrClosed, http.StatusServiceUnavailable},
		{context.Canceled, http.StatusServiceUnavailable},
		{errors.New("a disk is broken"), http.StatusInternalServerError},
	} {
		s.inside.err = fmt.Errorf("read it: %w", test.err)
		wantStatus(t, post(ih.String(), "0"), test.want)
	}
}
