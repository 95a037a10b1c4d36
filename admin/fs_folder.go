package admin

import (
	"bytes"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"shoal/tree"
)

// entryJSON is an entry of a folder on the wire.
type entryJSON struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`   // folder, file or link
	Size    int64     `json:"size"`   // in bytes; 0 for a folder
	Cached  int64     `json:"cached"` // of size
	ModTime time.Time `json:"mtime"`
}

// entryCursor is the last entry of the page before.
type entryCursor struct {
	Name string `json:"n"`
}

// folderPage is a part of a folder.
type folderPage struct {
	Entries []entryJSON `json:"entries"`
	Total   int         `json:"total"`          // on all pages
	Next    string      `json:"next,omitempty"` // cursor of the next page
}

func (s *server) serveFolder(w http.ResponseWriter, r *http.Request, node tree.Node, names []string) error {
	dir, err := node.Dir()
	if err != nil {
		return err
	}
	query := r.URL.Query()
	limit, err := parseLimit(query.Get("limit"), maxLimit)
	if err != nil {
		return err
	}
	var after *entryCursor
	if err := decodeCursor(query.Get("cursor"), &after); err != nil {
		return err
	}
	page := newFolderPage(dir.Entries(), after, limit)
	w.Header().Set("Vary", "Accept")
	finite(w)
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, "application/json", page)
		return nil
	}
	var b bytes.Buffer // of a page; a client that reads slowly must not keep the template busy
	if err := folderTemplate.Execute(&b, newFolderHTML(page, names, query)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the client may be gone
	return nil
}

// newFolderPage takes the entries behind the last one of the page before. They are sorted by name.
func newFolderPage(entries []tree.Entry, after *entryCursor, limit int) folderPage {
	page := folderPage{Entries: []entryJSON{}, Total: len(entries)}
	if after != nil {
		first, found := slices.BinarySearchFunc(entries, after.Name, func(e tree.Entry, name string) int {
			return strings.Compare(e.Name, name)
		})
		if found {
			first++
		}
		entries = entries[first:]
	}
	if len(entries) > limit {
		entries = entries[:limit]
		page.Next = encodeCursor(entryCursor{entries[limit-1].Name})
	}
	for _, e := range entries {
		page.Entries = append(page.Entries, newEntryJSON(e))
	}
	return page
}

func newEntryJSON(e tree.Entry) entryJSON {
	attr := e.Node.Attr()
	j := entryJSON{Name: e.Name, Kind: "file", Size: attr.Size, Cached: attr.Used, ModTime: attr.ModTime.UTC()}
	switch {
	case attr.Mode.IsDir():
		j.Kind = "folder"
	case attr.Mode&fs.ModeSymlink != 0:
		j.Kind = "link"
	}
	return j
}

// folderHTML is a page of a folder for people and for programs that read the links in it.
type folderHTML struct {
	Path    string
	IsRoot  bool
	Entries []entryHTML
	Next    string // a relative reference; empty on the last page
}

type entryHTML struct {
	Href, Name string // with a slash at the end for a folder
	ModTime    time.Time
	Size       int64
	IsFolder   bool
}

func newFolderHTML(page folderPage, names []string, query url.Values) folderHTML {
	f := folderHTML{Path: "/" + strings.Join(names, "/"), IsRoot: len(names) == 0}
	for _, e := range page.Entries {
		h := entryHTML{Href: escapeName(e.Name), Name: e.Name, ModTime: e.ModTime, Size: e.Size, IsFolder: e.Kind == "folder"}
		if h.IsFolder {
			h.Href, h.Name = h.Href+"/", h.Name+"/"
		}
		f.Entries = append(f.Entries, h)
	}
	if page.Next != "" {
		next := url.Values{"cursor": {page.Next}}
		if limit := query.Get("limit"); limit != "" {
			next.Set("limit", limit)
		}
		f.Next = "?" + next.Encode()
	}
	return f
}

// folderTemplate looks like the indexes of web servers, as rclone, Kodi and others read those: the text of a link is the name, and
// what follows is when it was changed, and its size. dir keeps a name's direction of writing to itself.
var folderTemplate = template.Must(template.New("folder").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Index of {{.Path}}</title></head>
<body>
<h1 dir="auto">Index of {{.Path}}</h1>
<table>
<tr><th>Name</th><th>Last modified</th><th>Size</th></tr>
{{- if not .IsRoot}}
<tr><td><a href="../">../</a></td><td></td><td>-</td></tr>
{{- end}}
{{- range .Entries}}
<tr><td><a href="{{.Href}}" dir="auto">{{.Name}}</a></td><td>{{.ModTime.Format "2006-01-02 15:04"}}</td><td>
{{- if .IsFolder}}-{{else}}{{.Size}}{{end}}</td></tr>
{{- end}}
</table>
{{- if .Next}}
<p><a href="{{.Next}}" rel="next">Next page</a></p>
{{- end}}
</body>
</html>
`))
