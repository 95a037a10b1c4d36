//go:build !unix

package inflate

func newChunk() *chunk { return new(chunk) }

func (*chunk) empty() {}
