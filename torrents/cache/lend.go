package cache

// Who sends a part of the file with sendfile(2) gives away the pages of the kernel's cache themselves, which are on their way, or in
// the queue of who receives them, long after Release: a client that sleeps reads them when it wakes. Freeing whole pages only takes
// them out of the kernel's cache; but the kernel keeps pages in groups (large folios), and what it frees of a group it fills with
// zeros, for the client as well. So of a torrent that was lent, groups of the largest size are freed as a whole, or not at all.
const (
	// groupSize is the size, and alignment, of the largest group of pages, 2 MiB; with larger pages than 4 KiB groups may be larger.
	groupSize = 2 << 20
	// lendRoom is how large a cache is at least that lends pieces smaller than a group: in a small one, those that are read would
	// keep too many others.
	lendRoom = 256 << 20
)

// Lend says whether pages of the file may be given away that hold pieces which are being held. They may be on their way from then on.
func (p *Pieces) Lend() bool {
	switch {
	case pageSize != blockSize:
		return false
	case p.PieceLength%groupSize == 0:
		return true
	case groupSize%p.PieceLength != 0 || p.PieceLength < blockSize:
		return false
	}
	c := p.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room() < c.lendRoom {
		return false
	}
	p.tally.lent.Store(true)
	return true
}

// unit returns the pieces around one that have to be evicted together. It does not change while one of them is in use.
func (p *Pieces) unit(piece int) Span { return p.Geometry.unit(piece, p.tally.lent.Load()) }

// unit is Pieces.unit of a torrent of which parts of groups were lent, or were not.
func (g *Geometry) unit(piece int, lent bool) Span {
	if !lent {
		return Span{piece, piece}
	}
	n := max(1, int(groupSize/g.PieceLength))
	first := piece / n * n
	return Span{first, min(first+n, g.Pieces) - 1}
}
