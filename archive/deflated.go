package archive

import (
	"context"
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
	size   int64
	format inflate.Format

	mu       sync.Mutex
	reader   *inflate.Reader // nil while nobody reads
	uses     int
	last     time.Time
	progress float64 // of what is on the disk
}

func (d *deflated) Size() int64 { return d.size }

func (d *deflated) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
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
		r, err := inflate.Open(inflate.Options{
			Source: d.source, Compressed: d.source.Size(), Size: d.size, Format: d.format,
			Index: index, Cache: d.store.segments, Pool: d.store.pool,
		})
		if err != nil {
			return nil, err
		}
		d.reader = r
		_, d.progress = r.Index()
		if !d.store.opened(d) {
			d.reader = nil
			return nil, ErrClosed
		}
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

// rest saves what was learned, and lets go of the decoder if nobody has used it since. It says whether it has.
func (d *deflated) rest(since time.Time) bool {
	d.mu.Lock()
	r := d.reader
	idle := d.uses == 0 && d.last.Before(since)
	if idle {
		d.reader = nil
	}
	known := d.progress
	d.mu.Unlock()
	if r == nil {
		return true
	}
	if idle {
		_ = r.Close() // of what it decodes nobody waits for anything
	}
	if index, progress := r.Index(); progress >= known+saveStep || progress > known && (idle || progress >= 1) {
		d.store.writeIndex(d.key, index)
		d.mu.Lock()
		d.progress = progress
		d.mu.Unlock()
	}
	return idle
}

func (d *deflated) isOpen() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reader != nil
}

// saveStep is by how much more has to be known of the data for what is known to be saved while it is read.
const saveStep = 0.25
