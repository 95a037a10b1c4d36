package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// watched cancels the demo when it says that it stays up.
type watched struct {
	cancel context.CancelFunc
	mu     sync.Mutex
	said   strings.Builder
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said.Write(b)
	if strings.Contains(w.said.String(), "stays up") {
		w.cancel()
	}
	return len(b), nil
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs an appliance: left out with -short")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	w := &watched{cancel: cancel}
	if err := run(ctx, w); err != nil {
		t.Fatalf("%v\n%s", err, w.said.String())
	}
	for _, want := range []string{"mount -t nfs", "the sums agree", "Stopping"} {
		if !strings.Contains(w.said.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, w.said.String())
		}
	}
}
