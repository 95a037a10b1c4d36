package torrents

// record returns the record. What its slices hold never changes.
func (e *entry) record() torrentRecord {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rec
}

// setRecord makes rec, which is on disk, the record.
func (e *entry) setRecord(rec torrentRecord) {
	e.mu.Lock()
	e.rec = rec
	e.mu.Unlock()
	e.lib.cache.Pin(e.ih.key(), rec.Pinned)
}

// looks says whether the metadata is to be looked for.
func (e *entry) looks() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.rec.resolved() && !e.rec.Paused && e.failure == ""
}

// stopLooking ends the search for the metadata, if there is one, soon. It needs Library.changing.
func (e *entry) stopLooking() {
	if e.search != nil {
		e.search.stop()
	}
}

// pause takes the torrent, whose record says that it is paused, out of the swarm. Who waits for it gets
// ErrPaused.
func (e *entry) pause() {
	e.changing.Lock()
	defer e.changing.Unlock()
	s := e.opened()
	if s == nil {
		return
	}
	s.mu.Lock()
	m := s.member
	s.member = nil
	s.mu.Unlock()
	if m != nil {
		m.pause()
	}
}

// useSources tells the swarm of more sources, if the torrent is in it.
func (e *entry) useSources(more sources) {
	e.changing.Lock()
	defer e.changing.Unlock()
	s := e.opened()
	if s == nil {
		return
	}
	if m := s.joined(); m != nil {
		m.use(more)
	}
}
