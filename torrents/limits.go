package torrents

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	// limiterBurst is what may go at once after a pause, in bytes. It is above the largest piece of data
	// that the engine passes in one go; a peer's request that is larger than it makes the engine panic.
	limiterBurst = 1 << 20
	// unlimitedUpload is above what any machine can send. The engine refuses requests that are larger
	// than the burst only while there is a limit, and panics if one is set with such a request under
	// way: so there always is one.
	unlimitedUpload rate.Limit = 1 << 40
)

// limits are the limits of all transfers together.
type limits struct{ down, up *rate.Limiter }

func newLimits(down, up int64) limits {
	l := limits{rate.NewLimiter(rate.Inf, limiterBurst), rate.NewLimiter(unlimitedUpload, limiterBurst)}
	l.set(down, up)
	return l
}

// set sets the limits in bytes per second; 0 or less is none.
func (l limits) set(down, up int64) {
	setLimit(l.down, down, rate.Inf)
	setLimit(l.up, up, unlimitedUpload)
}

func setLimit(l *rate.Limiter, bytesPerSecond int64, none rate.Limit) {
	if bytesPerSecond <= 0 {
		l.SetLimit(none)
		return
	}
	now := time.Now()
	l.SetLimitAt(now, rate.Limit(bytesPerSecond))
	// What was saved up while there was a higher limit is not spent under this one.
	l.AllowN(now, int(max(0, l.TokensAt(now))))
}

// get returns what set was given.
func (l limits) get() (down, up int64) {
	if limit := l.down.Limit(); limit != rate.Inf {
		down = int64(limit)
	}
	if limit := l.up.Limit(); limit != unlimitedUpload {
		up = int64(limit)
	}
	return down, up
}

// SetRateLimits limits what all torrents together receive and send, in bytes per second; 0 is no limit.
// It holds from the next block on, and until the library is closed.
func (l *Library) SetRateLimits(down, up int64) {
	l.swarm.limits.set(down, up)
	l.log.Info("rate limits", "down", down, "up", up)
}

// RateLimits returns the limits, in bytes per second; 0 is none.
func (l *Library) RateLimits() (down, up int64) { return l.swarm.limits.get() }

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
