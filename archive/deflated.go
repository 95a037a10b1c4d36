package archive

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"shoal/archive/inflate"
)

// deflated is a File that is DEFLATE data in another one. Its decoder is there while somebody reads, and for a while longer; what that
// has learned is kept on the disk.
type deflated struct {
	store  *Store
	key    string // its file among the indexes
	source File
	format inflate.Format
	level  int // see Archive.level

	mu       sync.Mutex
	size     int64           // inflate.UnknownSize until it is known, for gzip
	reader   *inflate.Reader // nil while nobody reads
	uses     int
	last     time.Time
	progress float64 // of what is on the disk
	gone     bool    // nothing is kept of it any more
}

func (d *deflated) Size() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.size
}

// Holds says that reading waits for no peer if the compressed data are there.
func (d *deflated) Holds(int64, int64) bool { return holds(d.source, 0, d.source.Size()) }

// measure decodes all of the data, if that was never done, and returns how many bytes that makes.
func (d *deflated) measure(ctx context.Context) (int64, error) {
	r, err := d.begin()
	if err != nil {
		return 0, err
	}
	defer d.end()
	var one [1]byte
	switch _, err := r.ReadAt(ctx, one[:], d.store.opts.Limits.MemberSize); {
	case err == nil:
		return 0, d.tooLong()
	case err != io.EOF: //nolint:errorlint // a source may wrap one that is not the end
		return 0, err
	}
	size, known := r.Size()
	if !known {
		return 0, fmt.Errorf("%w: it has no end", ErrFormat)
	}
	d.setSize(size)
	return size, nil
}

// tooLong is the error of what decodes to more than Limits.MemberSize, which gzip does not say before.
func (d *deflated) tooLong() error {
	return fmt.Errorf("%w: more than %d bytes come of %d", ErrLimit, d.store.opts.Limits.MemberSize, d.source.Size())
}

// retry forgets what was wrong with the data, unless somebody reads it.
func (d *deflated) retry() {
	d.mu.Lock()
	r := d.reader
	if d.uses > 0 || r == nil || r.Damage() == nil {
		d.mu.Unlock()
		return
	}
	d.reader = nil
	d.mu.Unlock()
	_ = r.Close() // of what it decodes nobody waits for anything
}

func (d *deflated) setSize(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.size = n
}

func (d *deflated) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off > d.store.opts.Limits.MemberSize {
		return 0, d.tooLong()
	}
	r, err := d.begin()
	if err != nil {
		return 0, err
	}
	defer d.end()
	n, err := r.ReadAt(ctx, p, off)
	d.store.delivered.Add(int64(n))
	return n, err
}

func (d *deflated) Ready(off int64, n int) bool {
	d.mu.Lock()
	r := d.reader
	d.mu.Unlock()
	return r != nil && r.Ready(off, int64(n))
}

// Await decodes what is asked for.
func (d *deflated) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	r, err := d.begin()
	if err != nil {
		return nil, err
	}
	letGo, err := r.Hold(ctx, max(off, 0), int64(n))
	if err != nil {
		d.end()
		return nil, err
	}
	return func() {
		letGo()
		d.end()
	}, nil
}

func (d *deflated) begin() (*inflate.Reader, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reader == nil {
		index := d.store.readIndex(d.key)
		announced := d.size
		if d.format == inflate.Gzip { // a gzip file does not say
			announced = inflate.UnknownSize
		}
		r, err := inflate.Open(inflate.Options{
			Source: d.source, Compressed: d.source.Size(), Size: announced, Format: d.format,
			Index: index, Cache: d.store.segments, Pool: d.store.pools[d.level],
		})
		if err != nil {
			return nil, err
		}
		if !d.store.opened(d) {
			_ = r.Close() // nobody has used it
			return nil, ErrClosed
		}
		d.reader = r
		d.progress = r.Progress()
	}
	d.uses++
	return d.reader, nil
}

func (d *deflated) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uses--
	d.last = time.Now()
}

// rest saves what was learned, and lets go of the decoder if nobody has used it since a time, or in any case: reads end then.
func (d *deflated) rest(since time.Time, inAnyCase bool) {
	d.mu.Lock()
	r := d.reader
	idle := inAnyCase || d.uses == 0 && d.last.Before(since)
	if idle {
		d.reader = nil
		d.store.rested(d)
	}
	known, gone := d.progress, d.gone
	d.mu.Unlock()
	if r == nil {
		return
	}
	if idle {
		_ = r.Close() // it has no error
	}
	if progress := r.Progress(); gone || progress <= known || progress < min(known+saveStep, 1) && !idle {
		return
	}
	index, progress := r.Index()
	d.store.writeIndex(d.key, index)
	d.mu.Lock()
	d.progress = progress
	d.mu.Unlock()
}

// forget keeps what is learned from being saved.
func (d *deflated) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
}

// saveStep is by how much more has to be known of the data for what is known to be saved while it is read.
const saveStep = 0.25
