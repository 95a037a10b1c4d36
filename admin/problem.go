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
	var (
		input    *torrents.InputError
		exists   *torrents.ExistsError
		taken    *torrents.NameTakenError
		notEmpty *torrents.NotEmptyError
		write    *torrents.WriteError
		tooLarge *http.MaxBytesError
		request  *requestError

		tooMany *access.TooManyError
		refused *access.InputError
		unsaved *access.WriteError
	)
	p := problem{Status: http.StatusInternalServerError, Detail: internalError}
	switch {
	case errors.As(err, &request):
		p = problem{Status: request.status, Detail: request.detail}
	case errors.As(err, &tooLarge):
		p = problem{
			Status: http.StatusRequestEntityTooLarge,
			Detail: fmt.Sprintf("The request is larger than %d bytes.", tooLarge.Limit),
		}
	case errors.Is(err, access.ErrWrong):
		p = problem{Status: http.StatusUnauthorized, Detail: "User or password is wrong."}
	case errors.As(err, &tooMany):
		p = problem{Status: http.StatusTooManyRequests, Detail: sentence(err)}
	case errors.Is(err, access.ErrSetElsewhere):
		p = problem{Status: http.StatusConflict, Detail: sentence(err)}
	case errors.As(err, &refused):
		p = problem{Status: http.StatusBadRequest, Detail: sentence(err)}
	case errors.Is(err, access.ErrNotFound):
		p = problem{Status: http.StatusNotFound, Detail: sentence(err)}
	case errors.As(err, &unsaved):
		s.log.Error("a change could not be written", "method", r.Method, "path", r.URL.Path, "err", err)
		p.Detail = "The change was not made, as it could not be written to the data folder: " + reason(err) + "."
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			p.Status = http.StatusInsufficientStorage
		}
	case errors.As(err, &input):
		p = problem{Status: http.StatusBadRequest, Detail: sentence(err)}
	case errors.As(err, &exists):
		p = problem{Status: http.StatusConflict, Detail: sentence(err), Route: exists.Route, Name: exists.Torrent}
		if exists.Infohash != (torrents.Infohash{}) {
			p.Infohash = exists.Infohash.String()
		}
	case errors.As(err, &taken):
		p = problem{
			Status: http.StatusConflict, Detail: sentence(err),
			Route: taken.Route, Name: taken.Name, Infohash: taken.Infohash.String(),
		}
	case errors.As(err, &notEmpty):
		p = problem{
			Status: http.StatusConflict, Route: notEmpty.Route,
			Detail: sentence(err) + " Add ?torrents=true to delete these as well.",
		}
	case errors.Is(err, torrents.ErrNotFound):
		p = problem{Status: http.StatusNotFound, Detail: sentence(err)}
	case errors.Is(err, torrents.ErrPaused):
		p = problem{Status: http.StatusConflict, Detail: "The torrent is paused, so nothing of it is fetched. Let it go on first."}
	case errors.Is(err, torrents.ErrPinned):
		p = problem{Status: http.StatusConflict, Detail: "The torrent is pinned, so what is in the cache stays there. Unpin it first."}
	case errors.Is(err, torrents.ErrFailed), errors.Is(err, torrents.ErrCacheTooSmall), errors.Is(err, ErrNoRoom):
		p = problem{Status: http.StatusConflict, Detail: sentence(err)}
	case errors.Is(err, ErrBusy):
		p = problem{Status: http.StatusTooManyRequests, Detail: sentence(err)}
	case errors.Is(err, torrents.ErrGaveUp):
		p = problem{Status: http.StatusGatewayTimeout, Detail: sentence(err)}
	case errors.As(err, &write):
		s.log.Error("a change could not be written", "method", r.Method, "path", r.URL.Path, "err", err)
		p.Detail = "The change was not made, as it could not be written to the data folder: " + reason(err) + "."
		if write.Full() {
			p.Status = http.StatusInsufficientStorage
		}
	case errors.Is(err, context.Canceled):
		// The client has hung up, and nobody reads this.
		p = problem{Status: http.StatusServiceUnavailable, Detail: "The request was cancelled."}
	case errors.Is(err, torrents.ErrClosed):
		p = problem{Status: http.StatusServiceUnavailable, Detail: "Shoal is stopping."}
	default:
		s.log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	p.Title = http.StatusText(p.Status)
	return p
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
