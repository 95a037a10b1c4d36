package torrents

// SetCacheLimit changes how many bytes on disk the cache may take; 0 is all but a twentieth of the disk. What is too much is
// evicted in the background.
func (l *Library) SetCacheLimit(bytes int64) error {
	if bytes < 0 {
		return inputErrorf("the cache limit is %d bytes, and has to be 0 or more", bytes)
	}
	l.cache.SetLimit(bytes)
	return nil
}

// CacheLimit returns how many bytes on disk the cache may take; 0 is all but a twentieth of the disk.
func (l *Library) CacheLimit() int64 { return l.cache.Limit() }
