package admin

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// maxJSON is the largest JSON body, in bytes.
const maxJSON = 1 << 20

// readJSON decodes the body, an object, into v. Members that v does not have are an error: they are typing
// mistakes.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	return readJSONUpTo(w, r, v, maxJSON)
}

// readJSONUpTo is readJSON for a body of up to limit bytes.
func readJSONUpTo(w http.ResponseWriter, r *http.Request, v any, limit int64) error {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return &requestError{http.StatusUnsupportedMediaType, "The body has to be JSON, with the header “Content-Type: application/json”."}
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	decoded := err == nil
	if decoded {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	if decoded {
		err = errors.New("something follows the JSON")
	}
	return badRequest("The body cannot be read: %v.", err)
}
