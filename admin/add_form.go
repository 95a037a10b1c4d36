package admin

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"shoal/torrents"
)

const (
	// maxCarried is how much of .torrent files a preview keeps in its page, in bytes, so that they need not be picked again.
	maxCarried = 8 << 20

	// maxTypedLinks is how many links a form may have. What is beyond maxPreviewLinks comes back with the page, for the next time.
	maxTypedLinks = 20_000
)

// addForm is what the page for adding was sent.
type addForm struct {
	links    []string // one each, as it was typed, without space around it
	rest     []string // links beyond the number that are taken at once
	files    []uploadedFile
	route    string
	newRoute string // goes before route, if there is one
	add      bool   // and not only look
}

// target is the route that the torrents go to.
func (f *addForm) target() string {
	if f.newRoute != "" {
		return f.newRoute
	}
	return f.route
}

// readAddForm reads the form as pages and scripts send it: with files, or without.
func readAddForm(w http.ResponseWriter, r *http.Request) (addForm, error) {
	var f addForm
	var err error
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType == "multipart/form-data" {
		r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
		err = f.readParts(r)
	} else {
		err = f.readFields(w, r)
	}
	if err != nil {
		return f, err
	}
	if len(f.files) > maxPreviewLinks {
		return f, badRequest("There are %d files, and at most %d can be added at once.", len(f.files), maxPreviewLinks)
	}
	if n := maxPreviewLinks - len(f.files); len(f.links) > n {
		f.links, f.rest = f.links[:n], f.links[n:]
	}
	return f, nil
}

func (f *addForm) readFields(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	for name, values := range r.PostForm {
		for _, value := range values {
			if err := f.take(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *addForm) readParts(r *http.Request) error {
	parts, err := r.MultipartReader()
	if err != nil {
		return badRequest("The form cannot be read: %v.", err)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return formError(err)
		}
		if err := f.readPart(part); err != nil {
			return err
		}
	}
}

func (f *addForm) readPart(part *multipart.Part) error {
	name := part.FormName()
	limit, isFile := maxField, name == "torrent"
	switch name {
	case "torrent":
		limit = torrents.MaxMetainfo
	case "links":
		limit = maxPreviewBody
	case "carried":
		limit = base64.StdEncoding.EncodedLen(maxCarried) + 2*maxField
	}
	b, err := io.ReadAll(io.LimitReader(part, int64(limit)+1))
	switch {
	case err != nil:
		return formError(err)
	case len(b) > limit && isFile:
		return badRequest("%.100q is larger than the %d MiB that a torrent file may have.", part.FileName(), limit>>20)
	case len(b) > limit:
		return badRequest("The field %.60q is longer than %d bytes.", name, limit)
	}
	if !isFile {
		return f.take(name, string(b))
	}
	if part.FileName() != "" || len(b) > 0 { // an input without a file sends an empty one
		f.files = append(f.files, uploadedFile{part.FileName(), b})
	}
	return nil
}

// take takes a field that is no file.
func (f *addForm) take(name, value string) error {
	switch name {
	case "links":
		if f.links = appendLinks(f.links, value); len(f.links) > maxTypedLinks {
			return badRequest("There are more than %d links, which is too many for one time.", maxTypedLinks)
		}
	case "carried":
		file, err := unpackFile(value)
		if err != nil {
			return err
		}
		f.files = append(f.files, file)
	case "route":
		f.route = value
	case "new_route":
		f.newRoute = strings.TrimSpace(value)
	case "do":
		f.add = value == "add"
	default:
		return badRequest("There is no field called %.60q.", name)
	}
	return nil
}

// appendLinks adds the lines of a text that are not empty, up to one more than maxTypedLinks.
func appendLinks(links []string, text string) []string {
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(strings.ToValidUTF8(line, "\uFFFD")); line != "" {
			links = append(links, line)
		}
		if len(links) > maxTypedLinks {
			break
		}
	}
	return links
}

// packFile makes a value of a form of a .torrent file, so that it comes back with the form.
func packFile(f uploadedFile) string {
	return base64.StdEncoding.EncodeToString([]byte(f.name)) + "." + base64.StdEncoding.EncodeToString(f.metainfo)
}

// unpackFile is the reverse of packFile.
func unpackFile(value string) (uploadedFile, error) {
	name, metainfo, _ := strings.Cut(value, ".")
	n, errName := base64.StdEncoding.DecodeString(name)
	b, errFile := base64.StdEncoding.DecodeString(metainfo)
	if err := errors.Join(errName, errFile); err != nil {
		return uploadedFile{}, badRequest("A .torrent file that came back with the form cannot be read; pick it again.")
	}
	return uploadedFile{string(n), b}, nil
}

// checkTarget says why torrents cannot go to a route that may have to be made.
func (s *server) checkTarget(name string) error {
	if name == "" {
		return badRequest("The name of the route is missing.")
	}
	if slices.ContainsFunc(s.library.Routes(), func(r torrents.Route) bool { return r.Name == name }) {
		return nil
	}
	return torrents.CheckRouteName(name)
}

// inNewRoute calls add, and once more when its route was not there, and was made.
func (s *server) inNewRoute(route string, add func() error) error {
	err := add()
	if !errors.Is(err, torrents.ErrNotFound) {
		return err
	}
	var exists *torrents.ExistsError
	if _, err := s.library.AddRoute(route, s.archives); err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("make the route %.60q: %w", route, err)
	}
	return add()
}
