package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	maxRedirects = 5
	tlsTime      = 10 * time.Second // for the handshake
	headerTime   = 20 * time.Second // from the request to the answer's header
	maxHeader    = 64 << 10         // bytes of an answer's header

	// fetchTime bounds all of a Get.
	fetchTime = time.Minute
)

var (
	// ErrTooLarge is returned for an answer that is longer than its limit.
	ErrTooLarge = errors.New("too large")
	// ErrRedirects is returned for a chain of redirects that does not end.
	ErrRedirects = fmt.Errorf("more than %d redirects", maxRedirects)
	// ErrScheme is returned for a URL that is not http or https, or has no host.
	ErrScheme = errors.New("not an http or https URL")
)

// StatusError is an answer that is not the document.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	if text := http.StatusText(e.Code); text != "" {
		return fmt.Sprintf("the server answered %d %s", e.Code, text)
	}
	return fmt.Sprintf("the server answered %d", e.Code)
}

// RedirectError is a redirect to something that is not http or https.
type RedirectError struct{ URL *url.URL }

func (e *RedirectError) Error() string {
	return fmt.Sprintf("the server redirects to a %.20q URL", e.URL.Scheme)
}

// Client fetches documents over HTTP. It keeps no cookies and no connections, and knows no proxy of the
// environment.
type Client struct {
	http http.Client
	time time.Duration // for all of a Get
}

// NewClient makes a client whose connections dial makes, which has the guard.
func NewClient(dial DialContextFunc) *Client {
	return &Client{
		time: fetchTime,
		http: http.Client{
			Transport: &http.Transport{
				DialContext:            dial,
				TLSHandshakeTimeout:    tlsTime,
				ResponseHeaderTimeout:  headerTime,
				MaxResponseHeaderBytes: maxHeader,
				DisableKeepAlives:      true,
			},
			CheckRedirect: func(req *http.Request, via []*http.Request) error {
				switch {
				case !isHTTP(req.URL):
					return &RedirectError{req.URL}
				case len(via) > maxRedirects:
					return ErrRedirects
				}
				return nil
			},
		},
	}
}

func isHTTP(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// Get writes what is at u to w, and returns its media type as the server has it. It waits for a minute at
// most, and follows 5 redirects. Of an answer of more than limit bytes it writes no more than these, and
// returns ErrTooLarge. Other errors are ErrScheme, ErrRedirects, ErrNotPublic, *StatusError,
// *RedirectError, context.DeadlineExceeded for whatever took too long, and what the network has. None tells
// the URL, which may hold a password.
func (c *Client) Get(ctx context.Context, u *url.URL, limit int64, w io.Writer) (mediaType string, err error) {
	if !isHTTP(u) {
		return "", ErrScheme
	}
	ctx, cancel := context.WithTimeout(ctx, c.time)
	defer cancel()
	defer func() { err = withoutURL(err) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "Shoal")
	answer, err := c.http.Do(req)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", &StatusError{answer.StatusCode}
	}
	mediaType = answer.Header.Get("Content-Type")
	if answer.ContentLength > limit {
		return mediaType, fmt.Errorf("%d bytes are %w", answer.ContentLength, ErrTooLarge)
	}
	n, err := io.Copy(w, io.LimitReader(answer.Body, limit))
	if err != nil {
		return mediaType, err
	}
	if n == limit {
		// As long as may be, or longer.
		switch more, err := io.ReadFull(answer.Body, make([]byte, 1)); {
		case more > 0:
			return mediaType, fmt.Errorf("more than %d bytes are %w", limit, ErrTooLarge)
		case !errors.Is(err, io.EOF):
			return mediaType, err
		}
	}
	return mediaType, nil
}

// withoutURL takes away from an error the URL that net/http puts before it, and makes all timeouts alike.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && timeout.Timeout() {
		return context.DeadlineExceeded
	}
	return err
}
