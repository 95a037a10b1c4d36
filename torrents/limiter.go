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

// rateLimits are the limits of all transfers together.
type rateLimits struct{ down, up *rate.Limiter }

func newRateLimits(down, up int64) rateLimits {
	l := rateLimits{rate.NewLimiter(rate.Inf, limiterBurst), rate.NewLimiter(unlimitedUpload, limiterBurst)}
	l.set(down, up)
	return l
}

// set sets the limits in bytes per second; 0 or less is none.
func (l rateLimits) set(down, up int64) {
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
func (l rateLimits) get() (down, up int64) {
	if limit := l.down.Limit(); limit != rate.Inf {
		down = int64(limit)
	}
	if limit := l.up.Limit(); limit != unlimitedUpload {
		up = int64(limit)
	}
	return down, up
}
