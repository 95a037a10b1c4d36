package admin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"shoal/admin/guard"
	"shoal/tree"
)

const (
	// maxRanges is how many ranges of a file a request may ask for: each may be a piece that has to be fetched.
	maxRanges = 16
	// writeTime is how long a client may take none of the data: a paused player, most likely.
	writeTime = 30 * time.Minute
)

// contentPolicy is for what strangers have made: a browser shows it without an origin, and runs nothing of it.
const contentPolicy = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'none'"

// serveFile answers with a file, or with the ranges of it that were asked for. It returns an error only while nothing was sent.
func (s *server) serveFile(ctx context.Context, w http.ResponseWriter, r *http.Request, node tree.Node, name string) error {
	content, err := node.Content()
	if err != nil {
		return err
	}
	if ranges := strings.Join(r.Header.Values("Range"), ","); strings.Count(ranges, ",") >= maxRanges {
		return &requestError{http.StatusRequestedRangeNotSatisfiable, fmt.Sprintf("The request has more than %d ranges.", maxRanges)}
	}
	ctx, cancel := context.WithCancel(ctx) // ends what still reads for a client that is gone
	defer cancel()
	attr := node.Attr()
	file := &fileReader{ctx: ctx, content: content, read: func(offset int64, n int) {
		s.fsReaders.read(readerKey{guard.ClientAddr(r), node}, offset, n)
	}}
	out := &fileWriter{ResponseWriter: w, rc: http.NewResponseController(w)}
	setFileHeader(w.Header(), node, name, r.URL.Query().Get("download") == "1")
	http.ServeContent(out, r, "", attr.ModTime, io.NewSectionReader(file, 0, attr.Size))
	err = file.failure()
	if err == nil {
		err = out.refused()
	}
	if err == nil {
		out.end()
		return nil
	}
	if !out.sent {
		unsetFileHeader(w.Header())
		return err
	}
	// As less was sent than announced, the server hangs up, and the client sees that it does not have all.
	if ctx.Err() == nil {
		s.log.Warn("a file was not sent to its end", "path", r.URL.Path, "err", err)
	}
	return nil
}

func setFileHeader(h http.Header, node tree.Node, name string, download bool) {
	mediaType, inline := mediaTypeOf(name)
	handle := node.Handle()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Disposition", disposition(name, inline && !download))
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// A node is its content for ever, and another one at the same path has another handle.
	h.Set("ETag", `"`+hex.EncodeToString(handle[:])+`"`)
	h.Set("Cache-Control", "private, no-cache")
}

// unsetFileHeader has an error take the place of the file. Content-Range tells the size of a file that a range is beyond of.
func unsetFileHeader(h http.Header) {
	for _, name := range []string{
		"Content-Type", "Content-Disposition", "ETag", "Last-Modified", "Accept-Ranges", "Content-Length", "Content-Encoding",
	} {
		h.Del(name)
	}
	if !strings.HasPrefix(h.Get("Content-Range"), "bytes */") {
		h.Del("Content-Range")
	}
	h.Set("Cache-Control", "no-store")
}

// fileReader is the content of a file as an io.ReaderAt that waits for peers.
type fileReader struct {
	ctx     context.Context //nolint:containedctx // io.ReaderAt has no place for one
	content tree.Content
	read    func(offset int64, n int) // is told of what was read

	mu  sync.Mutex // http.ServeContent reads several ranges in a goroutine
	err error      // the first one
}

func (f *fileReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.readAt(p, off)
	if n > 0 {
		f.read(off, n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.err == nil {
			f.err = err
		}
	}
	return n, err
}

func (f *fileReader) readAt(p []byte, off int64) (int, error) {
	// ReadAt would wait as well, but for nobody in particular, and nothing would be fetched ahead.
	release, err := f.content.Await(f.ctx, off, len(p))
	if err != nil {
		return 0, err
	}
	defer release()
	return f.content.ReadAt(f.ctx, p, off)
}

func (f *fileReader) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// fileWriter holds the header back until there is data, so that an error can be answered instead.
type fileWriter struct {
	http.ResponseWriter
	rc     *http.ResponseController
	status int // 0 until it is known
	sent   bool
}

func (w *fileWriter) WriteHeader(status int) { w.status = status }

// Write sends data, but for the text of an error.
func (w *fileWriter) Write(p []byte) (int, error) {
	if w.refused() != nil {
		return len(p), nil
	}
	w.sendHeader()
	// A slow client gets the time that it needs, but one that takes nothing does not keep its place for ever. Tests of handlers
	// have no connection.
	if err := w.rc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

func (w *fileWriter) sendHeader() {
	if !w.sent {
		w.sent = true
		w.ResponseWriter.WriteHeader(w.status)
	}
}

// refused returns what http.ServeContent has against the request.
func (w *fileWriter) refused() error {
	switch {
	case w.status == http.StatusRequestedRangeNotSatisfiable:
		return &requestError{w.status, "The file does not have the range that was asked for."}
	case w.status == http.StatusPreconditionFailed:
		return &requestError{w.status, "The file is not the one that the request is about."}
	case w.status >= 400:
		return fmt.Errorf("serve a file: status %d", w.status)
	}
	return nil
}

// end sends what is left, while the deadline is in force, which is not one of the next request on the connection.
func (w *fileWriter) end() {
	w.sendHeader()
	_ = w.rc.Flush()                       // the client may be gone
	_ = w.rc.SetWriteDeadline(time.Time{}) // likewise
}
