package cache

import (
	"runtime"
	"sync"
)

// Workers is how many threads hash and write pieces.
const Workers = 2

// workers hash and write pieces in threads of their own, which the system lets run when no other has anything to do: whoever reads what
// is there already is not to wait for what comes. They take their part of GOMAXPROCS, which should be larger by Workers.
type workers struct {
	jobs    chan func()
	running sync.WaitGroup
}

func newWorkers() *workers {
	w := &workers{jobs: make(chan func())}
	for range Workers {
		w.running.Go(func() {
			runtime.LockOSThread() // and never unlock it: the thread ends with this
			giveWay()
			for job := range w.jobs {
				job()
			}
		})
	}
	return w
}

// do has a worker do it, and waits until that is done.
func (w *workers) do(job func()) {
	done := make(chan struct{})
	w.jobs <- func() {
		defer close(done)
		job()
	}
	<-done
}

// close ends the workers. Nobody uses them any more.
func (w *workers) close() {
	close(w.jobs)
	w.running.Wait()
}
