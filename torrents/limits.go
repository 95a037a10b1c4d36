package torrents

// Limit is a limit that can be changed while the library is open.
type Limit struct {
	Value int64 // bytes, or bytes per second
	Own   bool  // it was set by ChangeLimits, and not by Options
}

// Limits are those that are in force.
type Limits struct {
	Cache    Limit // bytes on disk below Options.CacheDir; 0 is all but a twentieth of the disk
	Down, Up Limit // bytes per second; 0 is none
}

// LimitChange changes a limit if Set. The limit is the one of Options again if Value is nil.
type LimitChange struct {
	Set   bool
	Value *int64
}

// LimitsChange is what to change of the limits.
type LimitsChange struct{ Cache, Down, Up LimitChange }

// limitsRecord is what ChangeLimits has set; nil leaves it to Options.
type limitsRecord struct {
	Cache *int64 `json:"cache,omitempty"` // bytes
	Down  *int64 `json:"down,omitempty"`  // bytes per second
	Up    *int64 `json:"up,omitempty"`    // bytes per second
}

// Limits returns the limits that ChangeLimits, or else Options, have set.
func (l *Library) Limits() Limits {
	l.mu.RLock()
	set := l.state.Limits
	l.mu.RUnlock()
	return Limits{
		Cache: newLimit(set.Cache, l.opts.CacheLimit),
		Down:  newLimit(set.Down, l.opts.Swarm.DownLimit),
		Up:    newLimit(set.Up, l.opts.Swarm.UpLimit),
	}
}

func newLimit(set *int64, other int64) Limit { return Limit{valueOr(set, other), set != nil} }

// ChangeLimits changes limits, and returns those that are in force then. They last: over restarts, until
// they are changed again. The error is an *InputError or a *WriteError.
func (l *Library) ChangeLimits(change LimitsChange) (Limits, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	next := l.state.clone()
	for _, c := range []struct {
		change LimitChange
		what   string
		to     **int64
	}{
		{change.Cache, "cache", &next.Limits.Cache},
		{change.Down, "download", &next.Limits.Down},
		{change.Up, "upload", &next.Limits.Up},
	} {
		if c.change.Set {
			*c.to = c.change.Value
		}
		if *c.to != nil && **c.to < 0 {
			return Limits{}, inputErrorf("the %s limit is %d, and has to be 0 or more", c.what, **c.to)
		}
	}
	before := l.state
	if err := l.writeState(next); err != nil {
		return Limits{}, err
	}
	if err := l.applyLimits(); err != nil {
		// What cannot be done must not be tried again at each start.
		if undo := l.writeState(before); undo != nil {
			return Limits{}, undo
		}
		return Limits{}, err
	}
	return l.Limits(), nil
}

// applyLimits puts the limits of the state into force, and those of the options where it has none. It
// needs l.changing.
func (l *Library) applyLimits() error {
	set := l.state.Limits
	if err := l.SetCacheLimit(valueOr(set.Cache, l.opts.CacheLimit)); err != nil {
		return err
	}
	l.SetRateLimits(valueOr(set.Down, l.opts.Swarm.DownLimit), valueOr(set.Up, l.opts.Swarm.UpLimit))
	return nil
}

func valueOr(value *int64, other int64) int64 {
	if value != nil {
		return *value
	}
	return other
}

// SetCacheLimit changes how many bytes on disk the cache may take, until the library is closed; 0 is all but a twentieth of the
// disk. What is too much is evicted in the background.
func (l *Library) SetCacheLimit(bytes int64) error {
	if bytes < 0 {
		return inputErrorf("the cache limit is %d bytes, and has to be 0 or more", bytes)
	}
	l.cache.SetLimit(bytes)
	return nil
}

// CacheLimit returns how many bytes on disk the cache may take, which with a limit of 0 is all but a twentieth of the disk.
func (l *Library) CacheLimit() int64 { return l.cache.Limit() }

// SetRateLimits limits what all torrents together receive and send, in bytes per second; 0 is no limit.
// It holds from the next block on, and until the library is closed.
func (l *Library) SetRateLimits(down, up int64) {
	l.swarm.limits.set(down, up)
	l.log.Info("rate limits", "down", down, "up", up)
}

// RateLimits returns the limits, in bytes per second; 0 is none.
func (l *Library) RateLimits() (down, up int64) { return l.swarm.limits.get() }
