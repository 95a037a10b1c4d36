package inflate

import (
	"context"
	"fmt"
	"io"
)

// maxSilent is how many compressed bytes in a row may make no content: empty blocks, which cost time, and nobody writes so many.
const maxSilent = 1 << 20

// feed reads the compressed data from an offset on, for one decode. Its goroutine gives its turn back while the Source waits.
type feed struct {
	ctx    context.Context // of the decode that goes on now
	source Source
	at     int64 // offset of the next byte
	stop   int64 // offset of the first byte that is not wanted
	turn   *turn
	err    error // what went wrong last, other than that nothing is left
	silent int64 // bytes that were read since content came of some

	room  []byte // for what is read of the Source at once, or nil: then each Read is one of the Source
	burst []byte // what is left of that
}

// Read is that of io.Reader.
func (f *feed) Read(p []byte) (int, error) {
	if f.at >= f.stop {
		return 0, io.EOF
	}
	if f.silent > maxSilent {
		return 0, fmt.Errorf("%w: no content comes of %d bytes before byte %d", ErrFormat, f.silent, f.at)
	}
	n, err := f.read(p[:min(int64(len(p)), f.stop-f.at)])
	f.at += int64(n)
	f.silent += int64(n)
	if n > 0 {
		return n, nil
	}
	f.err = err
	return 0, err
}

func (f *feed) read(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	if len(f.burst) > 0 {
		n := copy(p, f.burst)
		f.burst = f.burst[n:]
		return n, nil
	}
	f.turn.giveBack()
	into := p
	if len(f.room) > len(p) {
		into = f.room[:min(int64(len(f.room)), f.stop-f.at)]
	}
	n, err := f.source.ReadAt(f.ctx, into, f.at)
	switch {
	case n > 0:
	case err == nil:
		err = io.ErrNoProgress
	case err == io.EOF: //nolint:errorlint // a Source that waits may wrap an EOF that is none of its own
		err = io.ErrUnexpectedEOF
	}
	if n == 0 {
		return 0, fmt.Errorf("read compressed data at byte %d: %w", f.at, err)
	}
	if len(f.room) > len(p) {
		f.burst = into[:n]
		n = copy(p, f.burst)
		f.burst = f.burst[n:]
	}
	return n, f.turn.take(f.ctx)
}
