package admin

import (
	"reflect"
	"sync"
	"time"
)

// openPages are what streams show now, by their key. There is nothing of a page that nobody has open.
type openPages struct {
	mu sync.Mutex // held for moments
	of map[string]*openPage
}

// openPage is a page as its streams have shown it last.
type openPage struct {
	users int // guarded by openPages.mu

	mu    sync.Mutex // held while parts are made, which waits for nobody
	frame *frame     // nil at first
	parts []fragment
	made  time.Time
}

// sameTime is how long the parts of a page are shown in which nothing has changed but how long ago things were. To make a list takes
// much longer than to see that it is as before.
const sameTime = 10 * time.Second

// enter returns the page with a key, for who calls leave when he no longer looks at it.
func (o *openPages) enter(key string) (p *openPage, leave func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = make(map[string]*openPage)
	}
	p = o.of[key]
	if p == nil {
		p = new(openPage)
		o.of[key] = p
	}
	p.users++
	return p, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if p.users--; p.users == 0 {
			delete(o.of, key)
		}
	}
}

// show returns the parts of a frame, which nobody changes any more: those of the one before if that had the same to show, or what render
// makes of it.
func (p *openPage) show(f *frame, render func(*frame) ([]fragment, error)) ([]fragment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.frame != nil && now.Sub(p.made) < sameTime && reflect.DeepEqual(p.frame, f) {
		return p.parts, nil
	}
	parts, err := render(f)
	if err != nil {
		return nil, err
	}
	p.frame, p.parts, p.made = f, parts, now
	return parts, nil
}
