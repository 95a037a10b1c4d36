package admin

import (
	"net/http"
	"slices"

	"shoal/torrents"
)

// fileJSON is a file or folder in a torrent on the wire.
type fileJSON struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Kind   string `json:"kind"` // file or folder
	Size   int64  `json:"size"`
	Cached int64  `json:"cached"`
	Files  int    `json:"files"`
	Index  *int   `json:"index"` // null for a folder
}

// fileCursor is the last item of the page before.
type fileCursor struct {
	Folder bool   `json:"f"`
	Name   string `json:"n"`
}

func (s *server) listFiles(w http.ResponseWriter, r *http.Request, ih torrents.Infohash) error {
	query := r.URL.Query()
	limit, err := parseLimit(query.Get("limit"), maxLimit)
	if err != nil {
		return err
	}
	var after *fileCursor
	if err := decodeCursor(query.Get("cursor"), &after); err != nil {
		return err
	}
	items, err := s.library.Files(ih, query.Get("path"))
	if err != nil {
		return err
	}
	list := struct {
		Files []fileJSON `json:"files"`
		Total int        `json:"total"`          // in the folder, on all pages
		Next  string     `json:"next,omitempty"` // cursor of the next page
	}{Files: []fileJSON{}, Total: len(items)}
	if after != nil {
		last := torrents.Item{Name: after.Name, IsFolder: after.Folder}
		first, found := slices.BinarySearchFunc(items, last, torrents.Item.Compare)
		if found {
			first++
		}
		items = items[first:]
	}
	if len(items) > limit {
		items = items[:limit]
		last := items[limit-1]
		list.Next = encodeCursor(fileCursor{last.IsFolder, last.Name})
	}
	for _, item := range items {
		list.Files = append(list.Files, newFileJSON(item))
	}
	writeJSON(w, http.StatusOK, "application/json", list)
	return nil
}

func newFileJSON(i torrents.Item) fileJSON {
	j := fileJSON{Name: i.Name, Path: i.Path, Kind: "folder", Size: i.Size, Cached: i.Cached, Files: i.Files}
	if !i.IsFolder {
		j.Kind, j.Index = "file", &i.Index
	}
	return j
}
