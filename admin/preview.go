package admin

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

const (
	// maxPreviewLinks is how many links are looked at in a call, maxPreviewURLs how many of them are fetched.
	maxPreviewLinks = 1000
	maxPreviewURLs  = 8
	// maxPreviewBody is the largest list of links, in bytes.
	maxPreviewBody = 4 << 20
	// maxPreviewTime is how long the servers of URLs are waited for; one has a minute, and may have to wait for others.
	maxPreviewTime = 2 * time.Minute
	// maxSource is how much of a link is given back, in bytes.
	maxSource = 300
)

func (s *server) registerPreview(api *mux.Router) {
	api.HandleFunc("/torrents/preview", s.previewTorrents).Methods(http.MethodPost)
}

// isNoPreview keeps “preview” from being taken for an infohash, so that other methods are answered 405.
func isNoPreview(r *http.Request, _ *mux.RouteMatch) bool {
	return !strings.HasSuffix(r.URL.Path, "/torrents/preview")
}

// previewJSON is what one link or file would add, on the wire.
type previewJSON struct {
	Source     string               `json:"source"`
	Kind       torrents.PreviewKind `json:"kind"`
	Infohash   *torrents.Infohash   `json:"infohash"`
	Name       string               `json:"name"`
	Size       *int64               `json:"size"`
	Files      *int                 `json:"files"`
	FirstFiles []previewFileJSON    `json:"first_files"`
	Private    bool                 `json:"private"`
	Trackers   int                  `json:"trackers"`
	Known      *previewKnownJSON    `json:"known"`
	SameAs     *int                 `json:"same_as"`
	Error      string               `json:"error"`

	unseen bool // it is a URL that was not fetched
}

type previewFileJSON struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
}

type previewKnownJSON struct {
	Route string         `json:"route"`
	Name  string         `json:"name"`
	State torrents.State `json:"state"`
}

func (s *server) previewTorrents(w http.ResponseWriter, r *http.Request) {
	var list []previewJSON
	var err error
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType == "multipart/form-data" {
		list, err = s.previewFiles(w, r)
	} else {
		list, err = s.previewLinks(w, r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	markTwins(list)
	writeJSON(w, http.StatusOK, "application/json", struct {
		Previews []previewJSON `json:"previews"`
	}{list})
}

func (s *server) previewFiles(w http.ResponseWriter, r *http.Request) ([]previewJSON, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	form, err := readUpload(r)
	if err != nil {
		return nil, err
	}
	return s.lookAtFiles(form.files)
}

func (s *server) previewLinks(w http.ResponseWriter, r *http.Request) ([]previewJSON, error) {
	var body struct {
		Links []string `json:"links"`
	}
	if err := readJSONUpTo(w, r, &body, maxPreviewBody); err != nil {
		return nil, err
	}
	switch n := len(body.Links); {
	case n == 0:
		return nil, badRequest("“links” is missing, or empty.")
	case n > maxPreviewLinks:
		return nil, badRequest("There are %d links, and at most %d are looked at in one call.", n, maxPreviewLinks)
	}
	return s.lookAtLinks(r.Context(), body.Links, maxPreviewURLs)
}

// lookAtFiles says what .torrent files would add.
func (s *server) lookAtFiles(files []uploadedFile) ([]previewJSON, error) {
	list := make([]previewJSON, len(files))
	for i, f := range files {
		p, err := s.library.PreviewMetainfo(f.metainfo)
		if list[i], err = newPreviewJSON(f.name, torrents.PreviewTorrent, p, err); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// lookAtLinks says what links would add. Up to maxURLs of those that are URLs are fetched, side by side, as servers may be slow.
func (s *server) lookAtLinks(ctx context.Context, links []string, maxURLs int) ([]previewJSON, error) {
	ctx, cancel := context.WithTimeout(ctx, maxPreviewTime)
	defer cancel()
	list := make([]previewJSON, len(links))
	errs := make([]error, len(links))
	var fetching sync.WaitGroup
	urls := 0
	for i, link := range links {
		link = strings.ToValidUTF8(link, "\uFFFD")
		kind, err := torrents.RecogniseLink(link)
		look := func() {
			var p torrents.Preview
			if err == nil {
				p, err = s.library.PreviewLink(ctx, link)
			}
			list[i], errs[i] = newPreviewJSON(link, kind, p, err)
		}
		if kind != torrents.PreviewURL {
			look()
			continue
		}
		if urls++; urls > maxURLs {
			err = &torrents.InputError{Reason: "the URL was not looked at: only the first 8 of a call are"}
			look()
			list[i].unseen = true
			continue
		}
		fetching.Go(look)
	}
	fetching.Wait()
	return list, errors.Join(errs...)
}

// newPreviewJSON takes what is wrong with a link or file into its preview. Any other error is returned.
func newPreviewJSON(source string, kind torrents.PreviewKind, p torrents.Preview, err error) (previewJSON, error) {
	j := previewJSON{
		Source: source[:min(len(source), maxSource)], Kind: kind, Name: p.Name, FirstFiles: []previewFileJSON{},
		Private: p.Private, Trackers: p.Trackers,
	}
	j.Source = strings.ToValidUTF8(j.Source, "")
	if _, bad := errors.AsType[*torrents.InputError](err); bad {
		j.Error = sentence(err)
	} else if errors.Is(err, context.DeadlineExceeded) {
		j.Error = "The .torrent file was not sent in time."
	} else if err != nil {
		return j, err
	}
	if p.Infohash != (torrents.Infohash{}) {
		j.Infohash = &p.Infohash
	}
	if p.Resolved {
		j.Size, j.Files = &p.Size, &p.Files
	}
	for _, f := range p.FirstFiles {
		j.FirstFiles = append(j.FirstFiles, previewFileJSON(f))
	}
	if p.Known != nil {
		j.Known = &previewKnownJSON{p.Known.Route, p.Known.Name, p.Known.State}
	}
	return j, nil
}

// markTwins says of each preview which one before it is of the same torrent.
func markTwins(list []previewJSON) {
	first := make(map[torrents.Infohash]int)
	for i := range list {
		ih := list[i].Infohash
		if ih == nil {
			continue
		}
		if twin, ok := first[*ih]; ok {
			list[i].SameAs = &twin
		} else {
			first[*ih] = i
		}
	}
}
