package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"shoal/admin/access"
	"shoal/torrents"
)

// problem is an error for a client (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"` // a sentence for people

	// Where a torrent is that the library has already.
	Infohash string `json:"infohash,omitempty"`
	Route    string `json:"route,omitempty"`
	Name     string `json:"name,omitempty"`
}

const internalError = "Something went wrong inside. The log says what."

func (s *server) problem(w http.ResponseWriter, p problem) {
	p.Title = http.StatusText(p.Status)
	writeJSON(w, p.Status, "application/problem+json", p)
}

// fail answers with the problem that err is.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.problem(w, s.problemOf(r, err))
}

// problemOf returns the problem that err is, and logs what is not the client's. It is the one place where errors become HTTP.
func (s *server) problemOf(r *http.Request, err error) problem {
	p, known := requestProblem(err)
	if !known {
		p, known = accessProblem(err)
	}
	if !known {
		p, known = libraryProblem(err)
	}
	if !known {
		p = s.failure(r, err)
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// requestProblem is of errors about the request itself.
func requestProblem(err error) (p problem, known bool) {
	if request, ok := errors.AsType[*requestError](err); ok {
		return problem{Status: request.status, Detail: request.detail}, true
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem{
			Status: http.StatusRequestEntityTooLarge,
			Detail: fmt.Sprintf("The request is larger than %d bytes.", tooLarge.Limit),
		}, true
	}
	return problem{}, false
}

// accessProblem is of errors about passwords, sessions and tokens.
func accessProblem(err error) (p problem, known bool) {
	var (
		tooMany *access.TooManyError
		refused *access.InputError
	)
	p = problem{Detail: sentence(err)}
	switch {
	case errors.Is(err, access.ErrWrong):
		p = problem{Status: http.StatusUnauthorized, Detail: "User or password is wrong."}
	case errors.As(err, &tooMany):
		p.Status = http.StatusTooManyRequests
	case errors.Is(err, access.ErrSetElsewhere):
		p.Status = http.StatusConflict
	case errors.As(err, &refused):
		p.Status = http.StatusBadRequest
	case errors.Is(err, access.ErrNotFound):
		p.Status = http.StatusNotFound
	default:
		return problem{}, false
	}
	return p, true
}

// libraryProblem is of errors about torrents, routes and archives.
func libraryProblem(err error) (p problem, known bool) {
	var (
		input    *torrents.InputError
		exists   *torrents.ExistsError
		taken    *torrents.NameTakenError
		notEmpty *torrents.NotEmptyError
	)
	p = problem{Status: http.StatusConflict, Detail: sentence(err)}
	switch {
	case errors.As(err, &input):
		p.Status = http.StatusBadRequest
	case errors.As(err, &exists):
		p.Route, p.Name = exists.Route, exists.Torrent
		if exists.Infohash != (torrents.Infohash{}) {
			p.Infohash = exists.Infohash.String()
		}
	case errors.As(err, &taken):
		p.Route, p.Name, p.Infohash = taken.Route, taken.Name, taken.Infohash.String()
	case errors.As(err, &notEmpty):
		p.Route = notEmpty.Route
		p.Detail += " Add ?torrents=true to delete these as well."
	case errors.Is(err, torrents.ErrNotFound):
		p.Status = http.StatusNotFound
	case errors.Is(err, torrents.ErrPaused):
		p.Detail = "The torrent is paused, so nothing of it is fetched. Let it go on first."
	case errors.Is(err, torrents.ErrPinned):
		p.Detail = "The torrent is pinned, so what is in the cache stays there. Unpin it first."
	case errors.Is(err, torrents.ErrFailed), errors.Is(err, torrents.ErrCacheTooSmall), errors.Is(err, ErrNoRoom):
	case errors.Is(err, ErrBusy):
		p.Status = http.StatusTooManyRequests
	case errors.Is(err, torrents.ErrGaveUp):
		p.Status = http.StatusGatewayTimeout
	default:
		return problem{}, false
	}
	return p, true
}

// failure is of errors that the client can do nothing about, and logs them.
func (s *server) failure(r *http.Request, err error) problem {
	var (
		write   *torrents.WriteError
		unsaved *access.WriteError
	)
	switch {
	case errors.As(err, &write), errors.As(err, &unsaved):
		s.log.Error("a change could not be written", "method", r.Method, "path", r.URL.Path, "err", err)
		p := problem{
			Status: http.StatusInternalServerError,
			Detail: "The change was not made, as it could not be written to the data folder: " + reason(err) + ".",
		}
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
			p.Status = http.StatusInsufficientStorage
		}
		return p
	case errors.Is(err, context.Canceled):
		// The client has hung up, and nobody reads this.
		return problem{Status: http.StatusServiceUnavailable, Detail: "The request was cancelled."}
	case errors.Is(err, torrents.ErrClosed):
		return problem{Status: http.StatusServiceUnavailable, Detail: "Shoal is stopping."}
	}
	s.log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	return problem{Status: http.StatusInternalServerError, Detail: internalError}
}

// requestError is what is wrong with a request itself.
type requestError struct {
	status int
	detail string
}

func (e *requestError) Error() string { return e.detail }

func badRequest(format string, args ...any) error {
	return &requestError{status: http.StatusBadRequest, detail: fmt.Sprintf(format, args...)}
}

// reason is what the system says of an error, without the paths.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return "the log says why"
}

// sentence makes a sentence of an error, which begins in lower case and has no full stop.
func sentence(err error) string {
	b := []byte(err.Error())
	if len(b) > 0 && 'a' <= b[0] && b[0] <= 'z' {
		b[0] -= 'a' - 'A'
	}
	return string(b) + "."
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	s.refusePath(w, r, problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("There is nothing at %.200q.", r.URL.Path)})
}

func (s *server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	s.refusePath(w, r, problem{
		Status: http.StatusMethodNotAllowed,
		Detail: fmt.Sprintf("The method %.20q is not possible at %.200q.", r.Method, r.URL.Path),
	})
}

// refusePath answers what no route takes: with a page to a person, but never below the API.
func (s *server) refusePath(w http.ResponseWriter, r *http.Request, p problem) {
	p.Title = http.StatusText(p.Status)
	if strings.HasPrefix(r.URL.Path, s.base+"/api/") {
		s.problem(w, p)
		return
	}
	s.problemPage(w, r, p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client may be gone
}
