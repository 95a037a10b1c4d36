package torrents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"shoal/torrents/outbound"
)

const (
	// maxFetching is how many .torrent files are fetched at a time; others wait.
	maxFetching = 4
	// maxURL bounds a URL in bytes.
	maxURL = 8 << 10
)

// AddURL puts the torrent into a route whose .torrent file is at an http or https URL, or what a magnet link
// says, if the URL is one or leads to one. It waits for the server, for a minute at most. The errors are
// those of AddMetainfo, that of ctx, and ErrClosed; what a server answered wrong, an address that must not be
// contacted included, is an *InputError, which names no more of the URL than the host.
func (l *Library) AddURL(ctx context.Context, route, link string) (Torrent, error) {
	if !l.hasRoute(route) {
		return Torrent{}, fmt.Errorf("route %q: %w", route, ErrNotFound)
	}
	found, err := l.fetchLink(ctx, link)
	if err != nil {
		return Torrent{}, err
	}
	if found.magnet != "" {
		return l.AddMagnet(route, found.magnet)
	}
	t, err := l.AddMetainfo(route, found.metainfo)
	return t, found.explain(err)
}

// fetched is what a URL leads to: a magnet link, or else what should be a .torrent file.
type fetched struct {
	magnet          string
	metainfo        []byte
	host, mediaType string // of the URL; of what was sent
}

// fetchLink fetches what is at a URL, unless it is a magnet link. The errors are those of AddURL.
func (l *Library) fetchLink(ctx context.Context, link string) (fetched, error) {
	u, err := parseURL(link)
	if err != nil {
		return fetched{}, err
	}
	if u.Scheme == "magnet" {
		return fetched{magnet: strings.TrimSpace(link)}, nil
	}
	found := fetched{host: u.Host}
	found.metainfo, found.mediaType, err = l.fetch(ctx, u)
	if redirect, ok := errors.AsType[*outbound.RedirectError](err); ok && redirect.URL.Scheme == "magnet" {
		return fetched{magnet: redirect.URL.String()}, nil
	}
	return found, err
}

// explain says of an error about the .torrent file where that came from.
func (f fetched) explain(err error) error {
	bad, ok := errors.AsType[*InputError](err)
	switch {
	case !ok:
		return err
	case isPage(f.mediaType, f.metainfo):
		return inputErrorf("what %.100q sent is a web page, not a .torrent file", f.host)
	}
	return inputErrorf("what %.100q sent: %s", f.host, bad.Reason)
}

func (l *Library) hasRoute(name string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.route(name) != nil
}

// parseURL reads the URL of something to add. The error is an *InputError.
func parseURL(link string) (*url.URL, error) {
	link = strings.TrimSpace(link)
	if len(link) > maxURL && !strings.HasPrefix(link, "magnet:") {
		return nil, inputErrorf("the URL is longer than %d KiB", maxURL>>10)
	}
	u, err := url.Parse(link)
	if err != nil {
		return nil, inputErrorf("the URL cannot be read") // the error has it, passwords included
	}
	if u.Scheme != "magnet" && (u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "") {
		return nil, inputErrorf("the URL has to begin with http://, https:// or magnet:")
	}
	return u, nil
}

// isPage says whether a server has sent something to look at.
func isPage(mediaType string, body []byte) bool {
	name, _, _ := mime.ParseMediaType(mediaType)
	body = bytes.TrimSpace(body)
	return name == "text/html" || name == "application/xhtml+xml" || len(body) > 0 && body[0] == '<'
}

// fetch returns what is at u, as much as a .torrent file may have, and its media type.
func (l *Library) fetch(ctx context.Context, u *url.URL) ([]byte, string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(l.ctx, cancel) //nolint:contextcheck // ends with the library, too
	defer stop()
	select {
	case l.fetching <- struct{}{}:
		defer func() { <-l.fetching }()
	case <-ctx.Done():
		return nil, "", l.fetchEnded(ctx)
	}
	var body bytes.Buffer
	mediaType, err := l.web.Get(ctx, u, MaxMetainfo, &body)
	if err != nil {
		if ctx.Err() != nil {
			return nil, "", l.fetchEnded(ctx)
		}
		l.log.Info("a .torrent file could not be fetched", "host", u.Host, "err", err)
		return nil, "", fetchError(u.Host, err)
	}
	return body.Bytes(), mediaType, nil
}

// fetchEnded says why ctx has.
func (l *Library) fetchEnded(ctx context.Context) error {
	if isClosed(l.closing) {
		return ErrClosed
	}
	return fmt.Errorf("fetch a .torrent file: %w", ctx.Err())
}

// fetchError says what is wrong with what a server answered. A *outbound.RedirectError stays in the chain.
func fetchError(host string, err error) error {
	status, isStatus := errors.AsType[*outbound.StatusError](err)
	_, isRedirect := errors.AsType[*outbound.RedirectError](err)
	switch {
	case isRedirect:
		return fmt.Errorf("%w: %w", inputErrorf("the URL at %.100q does not lead to a .torrent file", host), err)
	case isStatus:
		return inputErrorf("%.100q does not send the .torrent file: %v", host, status)
	case errors.Is(err, outbound.ErrTooLarge):
		return inputErrorf("what %.100q sends is larger than the %d MiB that a torrent file may have", host, MaxMetainfo>>20)
	case errors.Is(err, context.DeadlineExceeded):
		return inputErrorf("%.100q did not send the .torrent file in time", host)
	}
	return inputErrorf("the .torrent file cannot be fetched from %.100q: %.200v", host, err)
}
