package tree

import "context"

// Reader names who reads: the address of a client. Content may be read ahead for each of them, and what one has asked for
// is of no use to others when he goes away.
type Reader string

type readerKey struct{}

// WithReader returns a context that says who reads.
func WithReader(ctx context.Context, r Reader) context.Context {
	return context.WithValue(ctx, readerKey{}, r)
}

// ReaderOf returns who reads, or the empty string.
func ReaderOf(ctx context.Context) Reader {
	r, _ := ctx.Value(readerKey{}).(Reader)
	return r
}
