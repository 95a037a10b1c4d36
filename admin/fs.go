package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/guard"
	"shoal/tree"
)

const (
	fsPath = "/fs/"
	// maxTransfers is how many requests below fsPath are answered at a time: each may wait for peers, and has a buffer.
	maxTransfers = 512
	// maxLinks is how many symbolic links of a path are followed.
	maxLinks = 8
)

// errNothing is returned for a path that leads nowhere.
var errNothing = errors.New("nothing is there")

func (s *server) registerFS(r *mux.Router) {
	// (?s) as the name of a file may have a line feed.
	r.HandleFunc(fsPath+"{path:(?s:.*)}", s.serveFS).Methods(http.MethodGet, http.MethodHead)
}

// indexPolicy is for what lists strangers' names: it needs nothing but itself.
const indexPolicy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// serveFS answers with a folder or file of the tree.
func (s *server) serveFS(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", indexPolicy)
	select {
	case s.transfers <- struct{}{}:
		defer func() { <-s.transfers }()
	default:
		s.failFS(w, r, &requestError{http.StatusServiceUnavailable, "Too many files are read over HTTP already."})
		return
	}
	if err := s.lookFS(w, r); err != nil {
		s.failFS(w, r, err)
	}
}

func (s *server) lookFS(w http.ResponseWriter, r *http.Request) error {
	if err := endless(w, r); err != nil {
		return err
	}
	names, isFolder, err := s.splitPath(r.URL, fsPath)
	if err != nil {
		return err
	}
	ctx := tree.WithReader(r.Context(), tree.Reader(guard.ClientAddr(r).String()))
	node, err := findNode(ctx, s.tree, names)
	if err != nil {
		return err
	}
	switch {
	case node.IsDir() && !isFolder:
		// A path, as a reference that is relative to the request's could be one to another host. It is not kept: an archive
		// may turn out to be a file.
		to := s.pathFS(names) + "/"
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		finite(w)
		w.WriteHeader(http.StatusMovedPermanently)
		return nil
	case node.IsDir():
		if err := node.Load(ctx); err != nil {
			return err
		}
		return s.serveFolder(w, r, node, names)
	case isFolder:
		return tree.ErrNotDir
	default:
		return s.serveFile(ctx, w, r, node, names[len(names)-1])
	}
}

// endless has the request last as long as its client does. The server's time for reading a request goes on while it is answered,
// and would end its context; and that the client is gone is seen only when all of the request was read.
func endless(w http.ResponseWriter, r *http.Request) error {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxJSON)); err != nil {
		return badRequest("The body of the request cannot be read: %v.", err)
	}
	err := http.NewResponseController(w).SetReadDeadline(time.Time{})
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("read deadline of the connection: %w", err)
	}
	return nil
}

// answerTime is how long a client may take for an answer that is no file.
const answerTime = time.Minute

// finite is how long what is written next may take. The server's time for answering may be over, as peers were waited for.
func finite(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime)) // the client may be gone
}

// splitPath returns the names in the path of a URL below ours, each of which was decoded once, and whether it ends like that of a folder.
// What cannot be a name is errNothing: it is never cleaned, as others who look at the path might do that differently.
func (s *server) splitPath(u *url.URL, ours string) (names []string, isFolder bool, err error) {
	base := url.URL{Path: s.base}
	rest, ok := strings.CutPrefix(u.EscapedPath(), base.EscapedPath()+ours)
	if !ok { // some of ours is percent-encoded
		return nil, false, errNothing
	}
	if rest == "" {
		return nil, true, nil
	}
	rest, isFolder = strings.CutSuffix(rest, "/")
	for segment := range strings.SplitSeq(rest, "/") {
		name, err := url.PathUnescape(segment)
		if err != nil || tree.CheckName(name) != nil {
			return nil, false, errNothing
		}
		names = append(names, name)
	}
	return names, isFolder, nil
}

// pathFS is the path of a URL for names, without a slash at its end.
func (s *server) pathFS(names []string) string {
	base := url.URL{Path: s.base}
	segments := []string{base.EscapedPath() + strings.TrimSuffix(fsPath, "/")}
	for _, name := range names {
		segments = append(segments, escapeName(name))
	}
	return strings.Join(segments, "/")
}

// escapeName encodes a name so that it is one segment of a path, also at the beginning of a relative reference.
func escapeName(name string) string { return strings.ReplaceAll(url.PathEscape(name), ":", "%3A") }

// findNode returns what is at a path, and follows symbolic links, also at its end. It waits for archives on the way as long as ctx
// lasts. The error is errNothing or tree.ErrNotDir, one of reading the torrent or the archive, or says that there are too many links.
func findNode(ctx context.Context, t *tree.Tree, names []string) (tree.Node, error) {
	way := []tree.Node{t.Root()} // from the root to where we are
	links := 0
	for rest := names; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".": // of a link, as ".." is
			continue
		case "..":
			if len(way) == 1 {
				return tree.Node{}, errNothing
			}
			way = way[:len(way)-1]
			continue
		}
		node, err := lookUp(ctx, way[len(way)-1], name)
		if err != nil {
			return tree.Node{}, err
		}
		to, err := node.Link()
		if err != nil {
			way = append(way, node)
			continue
		}
		if links++; links > maxLinks || strings.HasPrefix(to, "/") {
			return tree.Node{}, badRequest("The symbolic link %.200q leads nowhere.", name)
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return way[len(way)-1], nil
}

func lookUp(ctx context.Context, folder tree.Node, name string) (tree.Node, error) {
	if err := folder.Load(ctx); err != nil {
		return tree.Node{}, err
	}
	dir, err := folder.Dir()
	if err != nil {
		return tree.Node{}, err
	}
	node, ok := dir.Lookup(name)
	if !ok {
		return tree.Node{}, errNothing
	}
	return node, nil
}

// failFS answers with the problem that err is, or with its sentence for who does not want JSON.
func (s *server) failFS(w http.ResponseWriter, r *http.Request, err error) {
	for _, is := range []error{errNothing, tree.ErrNotDir, tree.ErrStale, tree.ErrNotArchive} {
		if errors.Is(err, is) {
			err = &requestError{http.StatusNotFound, fmt.Sprintf("There is nothing at %.200q.", r.URL.Path)}
			break
		}
	}
	p := s.problemOf(r, err)
	finite(w)
	if wantsJSON(r) {
		s.problem(w, p)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(p.Status)
	_, _ = io.WriteString(w, p.Detail+"\n") // the client may be gone
}

// wantsJSON says whether a request asks for JSON by name, which programs do and browsers do not.
func wantsJSON(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept") {
		for accepted := range strings.SplitSeq(header, ",") {
			mediaType, _, _ := strings.Cut(accepted, ";")
			switch strings.ToLower(strings.TrimSpace(mediaType)) {
			case "application/json", "application/problem+json":
				return true
			}
		}
	}
	return false
}
