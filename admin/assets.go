package admin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gorilla/mux"
)

// libraries are the static files that `make assets` puts in place. Without them pages work as those of a browser without
// JavaScript do, and are plain.
var libraries = []string{"lib/htmx.js", "lib/pico.css", "lib/uplot.js", "lib/uplot.css"}

// assets are the static files. Each is served below a folder named after its contents, so that browsers may keep it for good.
type assets struct {
	files map[string]*asset // by name, such as "app.css"
}

type asset struct {
	contentType string
	hash        string
	plain, gzip []byte
}

// assetTypes are the types of static files by extension; no others are served.
var assetTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".svg":         "image/svg+xml",
	".png":         "image/png",
	".webmanifest": "application/manifest+json",
}

// loadAssets reads all static files, which are few.
func loadAssets(files fs.FS) (*assets, error) {
	a := &assets{files: make(map[string]*asset)}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		contentType := assetTypes[path.Ext(name)]
		if err != nil || d.IsDir() || contentType == "" {
			return err
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		packed, err := gzipped(b, gzip.BestCompression)
		if err != nil {
			return err
		}
		a.files[name] = &asset{contentType, hex.EncodeToString(sum[:6]), b, packed}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("static files: %w", err)
	}
	return a, nil
}

func gzipped(b []byte, level int) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// missing returns the libraries that the build has left out.
func (a *assets) missing() []string {
	var names []string
	for _, name := range libraries {
		if a.files[name] == nil {
			names = append(names, name)
		}
	}
	return names
}

// path is where a static file is, without the base path. One that is missing has a path that leads nowhere.
func (a *assets) path(name string) string {
	hash := "missing"
	if f := a.files[name]; f != nil {
		hash = f.hash
	}
	return "/static/" + hash + "/" + name
}

func (s *server) serveAsset(w http.ResponseWriter, r *http.Request) {
	vars := mux.Vars(r)
	f := s.assets.files[vars["file"]]
	if f == nil || f.hash != vars["hash"] {
		s.notFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
