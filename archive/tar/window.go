package tar

import (
	"errors"
	"fmt"
	"io"
)

// fetchBlock is the most that is read at once, and what the budget is counted in.
const fetchBlock = 64 << 10

// errBudget says that no more may be fetched.
var errBudget = errors.New("the fetch budget is used up")

// window reads an archive forward, in aligned blocks, and counts what it fetches.
type window struct {
	r     io.ReaderAt
	size  int64 // in bytes; anySize as long as it is not known
	fetch int64 // bytes that may still be fetched
	block int64 // the last block that was fetched, counted from 1

	buf   [fetchBlock]byte
	start int64 // offset in the archive of what is in buf
	held  int   // bytes in buf
}

// read fills p from the offset on, which must not be before that of an earlier call.
func (w *window) read(p []byte, off int64) error {
	for {
		if off < 0 || off > w.size || int64(len(p)) > w.size-off {
			return damageError(fmt.Sprintf("the archive ends at %d, within a header", w.size))
		}
		if len(p) == 0 {
			return nil
		}
		if off < w.start || off >= w.start+int64(w.held) {
			if err := w.load(off); err != nil {
				return err
			}
		}
		n := copy(p, w.buf[off-w.start:w.held])
		p, off = p[n:], off+int64(n)
	}
}

// load reads the rest of the block that the offset is in.
func (w *window) load(off int64) error {
	end := off - off%fetchBlock + fetchBlock
	if block := off/fetchBlock + 1; block != w.block {
		if w.fetch < fetchBlock {
			return errBudget
		}
		w.fetch -= fetchBlock
		w.block = block
	}
	n := min(end, w.size) - off
	w.held = 0
	got, err := w.r.ReadAt(w.buf[:n], off)
	switch {
	case int64(got) == n:
	case w.size == anySize && err == io.EOF: // of the archive, not one that wraps it
		n, w.size = int64(got), off+int64(got)
	default:
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("reading %d bytes: %w", n, err)
	}
	w.start, w.held = off, int(n)
	return nil
}
