package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/guard"
	"shoal/torrents"
	"shoal/tree"
)

const (
	filesPath = "/files/"
	// lookTime is how long a page waits for the first look into an archive.
	lookTime = 30 * time.Second
	// maxImageShown is the size of the largest image, in bytes, that is on the page of its file: it has to be fetched for that.
	maxImageShown = 32 << 20
)

var filesPage = page{name: "files"}

// treeView is what is at a path of the tree: a folder, a file, or neither while an archive on the way is being read.
type treeView struct {
	Heading  string
	Crumbs   []crumb // the folders above, from the root on
	Path     string  // below the mount point
	Here     string  // the address of the page
	Infohash string  // of the torrent; empty above torrents

	Folder *treeFolder
	File   *treeFile
}

func (v treeView) title() string { return v.Heading }

// treeFile is a file of the tree.
type treeFile struct {
	Kind          string // as mediaKind
	MediaType     string
	Size, Cached  int64 // in bytes
	ModTime       time.Time
	Open          string // addresses, empty for what a browser does not show
	Play          string
	Download      string
	Video, Audio  string // what is played on the page
	Image         string
	WhyNoArchive  string // why it is not shown as a folder; empty if it is no archive, or nobody has looked
	Pending       bool   // not all of it is in the cache
	PlayerMayFail bool   // browsers know few formats
}

func (s *server) registerFilesPage(r *mux.Router) {
	s.handlePage(r, "/files", filesPage, s.viewFiles)
	// (?s) as the name of a file may have a line feed.
	s.handlePage(r, filesPath+"{path:(?s:.*)}", filesPage, s.viewFiles)
}

func (s *server) viewFiles(r *http.Request) (any, error) {
	select {
	case s.transfers <- struct{}{}:
		defer func() { <-s.transfers }()
	default:
		return nil, &requestError{http.StatusServiceUnavailable, "Too many files are read over HTTP already."}
	}
	nothing := &requestError{http.StatusNotFound, fmt.Sprintf("There is nothing at %.200q.", r.URL.Path)}
	var names []string
	if r.URL.Path != s.base+strings.TrimSuffix(filesPath, "/") {
		var err error
		if names, _, err = s.splitPath(r.URL, filesPath); err != nil {
			return nil, nothing
		}
	}
	v := s.newTreeView(r, names)
	ctx, cancel := context.WithTimeout(r.Context(), lookTime)
	defer cancel()
	ctx = tree.WithReader(ctx, tree.Reader(guard.ClientAddr(r).String()))
	node, why, err := s.findShown(ctx, names)
	switch {
	case err == nil:
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return v, nil
	case errors.Is(err, errNothing), errors.Is(err, tree.ErrNotDir), errors.Is(err, tree.ErrStale):
		return nil, nothing
	default:
		return nil, err
	}
	if ih, ok := node.Infohash(); ok {
		v.Infohash = torrents.Infohash(ih).String()
	}
	if node.IsDir() {
		v.Folder, err = s.newTreeFolder(r, node, names)
		return v, err
	}
	v.File = s.newTreeFile(r, node, names, why)
	return v, nil
}

func (s *server) newTreeView(r *http.Request, names []string) *treeView {
	root := s.locale(r).T("files.title")
	v := &treeView{Heading: root, Path: "/" + strings.Join(names, "/"), Here: r.URL.RequestURI()}
	for i, name := range names {
		v.Crumbs = append(v.Crumbs, crumb{root, s.filesAddress(names[:i])})
		root, v.Heading = name, name
	}
	return v
}

// findShown returns what is at a path, and of a folder everything that is needed to list it. What turns out not to be an archive is a
// file from then on: why is then said, too.
func (s *server) findShown(ctx context.Context, names []string) (node tree.Node, why string, err error) {
	node, err = findNode(ctx, s.tree, names)
	if err == nil && node.IsDir() {
		err = node.Load(ctx)
	}
	if !errors.Is(err, tree.ErrNotArchive) {
		return node, "", err
	}
	_, why, _ = strings.Cut(err.Error(), tree.ErrNotArchive.Error()+": ")
	node, err = findNode(ctx, s.tree, names)
	if err != nil || node.IsDir() { // it was the folder beside the file, or above what is asked for
		return tree.Node{}, "", &requestError{http.StatusNotFound, "The archive cannot be shown as a folder: " + oneLine(why) + "."}
	}
	return node, why, nil
}

// oneLine has a text fit a sentence.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (s *server) newTreeFile(r *http.Request, node tree.Node, names []string, why string) *treeFile {
	name := names[len(names)-1]
	attr := node.Attr()
	address := s.pathFS(names)
	v := &treeFile{
		Kind: mediaKind(name), Size: attr.Size, Cached: min(attr.Used, attr.Size), ModTime: attr.ModTime,
		Download: address + "?download=1", Pending: attr.Used < attr.Size, WhyNoArchive: why,
	}
	v.MediaType, _ = mediaTypeOf(name)
	play := r.URL.Query().Get("play") == "1"
	switch v.Kind {
	case "video", "audio":
		v.Play, v.PlayerMayFail = s.filesAddress(names)+"?play=1", play
		switch {
		case play && v.Kind == "video":
			v.Video = address
		case play:
			v.Audio = address
		}
	case "image":
		v.Open = address
		if attr.Size <= maxImageShown {
			v.Image = address
		}
	case "text":
		v.Open = address
	}
	if v.WhyNoArchive == "" {
		v.WhyNoArchive = s.whyNoArchive(node)
	}
	return v
}

// whyNoArchive says why a file is not shown as a folder, if somebody has looked and it is told at once.
func (s *server) whyNoArchive(node tree.Node) string {
	ih, ok := node.Infohash()
	if !ok || s.inside.Refused(torrents.Infohash(ih)) == 0 {
		return ""
	}
	list, err := s.inside.List(torrents.Infohash(ih), ArchiveQuery{State: ArchiveRefused, Limit: maxLimit})
	if err != nil {
		return "" // the torrent is gone, or the page of the torrent says what is wrong
	}
	const aboveTorrent = 2 // the route and the torrent
	path := node.Path()
	inTorrent := strings.Join(path[min(aboveTorrent, len(path)):], "/")
	for _, a := range list.Archives {
		if a.Path == inTorrent {
			return a.Reason
		}
	}
	return ""
}

// filesAddress is that of the page of what is at a path.
func (s *server) filesAddress(names []string) string {
	address := s.base + strings.TrimSuffix(filesPath, "/")
	if len(names) == 0 {
		return address + "/"
	}
	for _, name := range names {
		address += "/" + escapeName(name)
	}
	return address
}
