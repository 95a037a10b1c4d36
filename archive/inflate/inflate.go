// Package inflate reads anywhere in DEFLATE data (RFC 1951) without decoding what is before: members of zip archives, and gzip files
// (RFC 1952). The first pass over the data notes checkpoints, from where decoding can begin, about every 1.25 MiB; after that a read decodes
// the segments between checkpoints that it touches, whole, into a cache that all Readers share.
package inflate

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrFormat is wrapped by errors of data that is damaged, or is not what was said about it. They are remembered.
	ErrFormat = errors.New("compressed data is damaged")
	// ErrClosed is what reads of a Reader get that is closed.
	ErrClosed = errors.New("reader of compressed data is closed")
)

// Source has the compressed bytes. ReadAt is that of io.ReaderAt, and waits no longer than the context lasts. Its errors are handed on,
// wrapped, and are not remembered.
type Source interface {
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
}

// Format says what is around the DEFLATE data.
type Format uint8

const (
	// Raw is DEFLATE data alone, as in zip archives (APPNOTE 4.4.5, method 8).
	Raw Format = iota
	// Gzip is one or more members of RFC 1952. What follows the last one and is no member is ignored, as gzip(1) does.
	Gzip
)

// UnknownSize is the Size of data of which nobody knows how much it is before it was decoded once.
const UnknownSize = -1

// maxRatio is how many bytes come of a compressed one at most: a match of 258 bytes takes two bits (RFC 1951, 3.2.5).
const maxRatio = 1032

// Options are what a Reader needs.
type Options struct {
	Source     Source
	Compressed int64  // bytes in Source
	Size       int64  // bytes of uncompressed data, or UnknownSize
	Format     Format // of the compressed bytes
	Index      []byte // what Reader.Index returned for the same data, or nil. What does not fit is ignored
	Cache      *Cache // of decoded data, shared with other Readers
	Pool       *Pool  // who may decode now, shared with other Readers
}

func (o *Options) check() error {
	switch {
	case o.Source == nil || o.Cache == nil || o.Pool == nil:
		return errors.New("inflate: Options lack a Source, Cache or Pool")
	case o.Format > Gzip:
		return fmt.Errorf("inflate: format %d is unknown", o.Format)
	case o.Compressed < 0 || o.Compressed > maxCompressed:
		return fmt.Errorf("%w: a compressed size of %d bytes is impossible", ErrFormat, o.Compressed)
	case o.Size < 0 && o.Size != UnknownSize:
		return fmt.Errorf("%w: a size of %d bytes is impossible", ErrFormat, o.Size)
	case o.Size > o.Compressed*maxRatio:
		return fmt.Errorf("%w: %d bytes cannot come of %d, as DEFLATE makes %d of one at most", ErrFormat, o.Size, o.Compressed, maxRatio)
	}
	return nil
}

// maxCompressed keeps offsets in bits, and sizes that follow from it, within an int64.
const maxCompressed = 1 << 50

// damaged returns an error for data that is wrong at an uncompressed offset.
func damaged(off int64, reason string) error {
	return fmt.Errorf("%w after %d bytes of content: %s", ErrFormat, off, reason)
}
