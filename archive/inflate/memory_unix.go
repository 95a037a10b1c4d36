//go:build unix

package inflate

import "golang.org/x/sys/unix"

// newChunk maps one. If that cannot be, the chunk is one of Go's heap.
func newChunk() *chunk {
	b, err := unix.Mmap(-1, 0, chunkLength, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return new(chunk)
	}
	return (*chunk)(b)
}

// empty gives the memory back, but not the place. The content is lost, or not.
func (c *chunk) empty() { _ = unix.Madvise(c[:], unix.MADV_DONTNEED) } // or it stays
