package uplink

import (
	"io"
	"net"
	"sync"
	"time"
)

// slot holds a socket that comes and goes.
type slot[T io.Closer] struct {
	mu      sync.Mutex
	socket  T
	filled  bool
	closed  bool
	changed chan struct{} // closed at the next change
}

func newSlot[T io.Closer]() *slot[T] { return &slot[T]{changed: make(chan struct{})} }

// get returns the socket, if there is one, and what will be closed when that changes. The error is
// net.ErrClosed.
func (s *slot[T]) get() (socket T, filled bool, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.socket, false, s.changed, net.ErrClosed
	}
	return s.socket, s.filled, s.changed, nil
}

// put fills an empty slot, or closes the socket if the slot is closed.
func (s *slot[T]) put(socket T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		socket.Close()
		return
	}
	s.socket, s.filled = socket, true
	s.change()
}

// drop closes the socket, if there is one, and leaves the slot empty.
func (s *slot[T]) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filled {
		s.socket.Close()
		s.filled = false
		s.change()
	}
}

// close closes the socket and the slot, for good.
func (s *slot[T]) close() {
	s.drop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.change()
	}
}

func (s *slot[T]) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// errorPause is how long a socket that failed is left alone, if it stays.
const errorPause = time.Second

// use calls f with the socket until it succeeds, waiting for a socket as long as there is none. The error is
// net.ErrClosed.
func (s *slot[T]) use(f func(T) error) error {
	for {
		socket, filled, changed, err := s.get()
		if err != nil {
			return err
		}
		if !filled {
			<-changed
			continue
		}
		if f(socket) == nil {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(errorPause):
		}
	}
}
