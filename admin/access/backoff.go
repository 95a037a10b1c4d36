package access

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"
)

const (
	// freeFailures is how many wrong passwords an address may send without waiting; after each further one it
	// waits twice as long, from firstDelay to maxDelay.
	freeFailures = 5
	firstDelay   = time.Second
	maxDelay     = 15 * time.Minute
	// forgetAfter is how long after its last wrong password an address is as new.
	forgetAfter = time.Hour

	// allFailures is how many wrong passwords all addresses may send at once, and allInterval after how long
	// one more: 43,200 a day. An address from which somebody has logged in does not wait for others.
	allFailures = 60
	allInterval = 2 * time.Second

	// maxAddresses and maxKnown are how many addresses are remembered, of either kind.
	maxAddresses = 4096
	maxKnown     = 256
)

// TooManyError says that a password was not looked at.
type TooManyError struct {
	After time.Duration // when to try again, from now
}

func (e *TooManyError) Error() string {
	seconds := max(1, math.Ceil(e.After.Seconds()))
	if seconds == 1 {
		return "there were too many attempts to log in: try again in 1 second"
	}
	return fmt.Sprintf("there were too many attempts to log in: try again in %.0f seconds", seconds)
}

// backoff makes addresses wait that send wrong passwords.
type backoff struct {
	mu        sync.Mutex // for moments, over what follows
	addresses map[netip.Prefix]failures
	known     map[netip.Prefix]time.Time // when somebody last logged in from there
	all       float64                    // wrong passwords of all addresses, less one each allInterval
	counted   time.Time                  // when all was right
}

// failures are those of an address.
type failures struct {
	count int
	last  time.Time
	next  time.Time // when it may try again
}

func newBackoff() *backoff {
	return &backoff{addresses: make(map[netip.Prefix]failures), known: make(map[netip.Prefix]time.Time)}
}

// client returns whom addresses belong to: of IPv6, one has at least a /64.
func client(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // without an address, all are one
	return prefix
}

// begin counts a wrong password, or returns a *TooManyError. If it turns out to be right, succeed follows, and
// withdraw if nobody has looked at it.
func (b *backoff) begin(addr netip.Addr) error {
	now, who := time.Now(), client(addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.addresses[who]
	if now.Sub(f.last) >= forgetAfter {
		f = failures{}
	}
	if wait := f.next.Sub(now); wait > 0 {
		return &TooManyError{After: wait}
	}
	b.all = max(0, b.all-float64(now.Sub(b.counted))/float64(allInterval))
	b.counted = now
	if over := b.all + 1 - allFailures; over > 0 && b.known[who].IsZero() {
		return &TooManyError{After: time.Duration(over * float64(allInterval))}
	}
	b.all++
	f.count++
	f.last = now
	if over := f.count - freeFailures; over >= 0 {
		f.next = now.Add(min(maxDelay, firstDelay<<min(over, 30)))
	}
	if _, there := b.addresses[who]; !there && len(b.addresses) >= maxAddresses {
		b.forget()
	}
	b.addresses[who] = f
	return nil
}

// forget makes room for an address, at the cost of the one that was quiet for longest.
func (b *backoff) forget() {
	var oldest netip.Prefix
	var last time.Time
	for who, f := range b.addresses {
		if last.IsZero() || f.last.Before(last) {
			oldest, last = who, f.last
		}
	}
	delete(b.addresses, oldest)
}

// succeed forgets the wrong passwords of an address.
func (b *backoff) succeed(addr netip.Addr) {
	now, who := time.Now(), client(addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = max(0, b.all-1)
	delete(b.addresses, who)
	b.known[who] = now
	if len(b.known) <= maxKnown {
		return
	}
	oldest := who
	for other, last := range b.known {
		if last.Before(b.known[oldest]) {
			oldest = other
		}
	}
	delete(b.known, oldest)
}

// withdraw takes back what begin counted.
func (b *backoff) withdraw(addr netip.Addr) {
	who := client(addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = max(0, b.all-1)
	f, there := b.addresses[who]
	if !there {
		return
	}
	f.count--
	f.next = time.Time{}
	if f.count <= 0 {
		delete(b.addresses, who)
		return
	}
	b.addresses[who] = f
}
