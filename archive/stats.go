package archive

// Stats is what all archives together can tell about themselves.
type Stats struct {
	Inflated     int64 // bytes that were decoded of members that are DEFLATE data, for whatever purpose
	Delivered    int64 // bytes that reads of such members returned
	Open         int   // of these members, those that have a decoder
	SegmentBytes int64 // bytes of memory that decoded segments, decodes and checkpoints take
	Segments     int   // segments that are kept in memory
	SpoolBytes   int64 // bytes on the disk that are reserved for members that were decoded whole
}

// Stats returns what there is now, and what there was since New.
func (s *Store) Stats() Stats {
	segments := s.segments.Stats()
	s.mu.Lock()
	open := len(s.open)
	s.mu.Unlock()
	return Stats{
		Inflated: segments.Inflated, Delivered: s.delivered.Load(), Open: open,
		SegmentBytes: segments.Used, Segments: segments.Segments, SpoolBytes: s.spool.Used(),
	}
}
