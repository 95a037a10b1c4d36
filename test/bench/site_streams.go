//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	openPages    = 50
	openMachines = 5 // that they are open on: a machine may have 16

	changeTime = 500 * time.Millisecond // between changes of the library
	readRate   = 1 << 20                // of the one who reads, in bytes a second
	// settleTime is how long things are left to themselves before they are measured, as a share of the time that is.
	settleShare = 10
)

// openPages measures what it costs that pages are open, while somebody reads and the library changes.
func (b *bench) openPages(p *process, library *siteLibrary) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	var failures errorList
	defer func() {
		cancel()
		tasks.Wait()
		err = errors.Join(err, failures.join())
	}()
	run := func(task func(context.Context) error) { tasks.Go(func() { failures.add(task(ctx)) }) }
	run(readSlowly)
	run(func(ctx context.Context) error { return changeOften(ctx, library.others) })
	without, err := b.costOf(p)
	if err != nil {
		return err
	}
	before, err := memory(p.pid, "VmRSS")
	if err != nil {
		return err
	}
	var bytes atomic.Int64
	var visitors []*visitor
	for i := range openMachines {
		v, err := newVisitor(fmt.Sprintf("127.0.0.%d", 2+i))
		if err == nil {
			err = v.logIn()
		}
		if err != nil {
			return err
		}
		defer v.CloseIdleConnections()
		visitors = append(visitors, v)
	}
	for i := range openPages {
		path := openPage(i, library)
		run(func(ctx context.Context) error {
			return visitors[i%openMachines].follow(ctx, path, func(b []byte) { bytes.Add(int64(len(b))) })
		})
	}
	bytes.Store(0)
	with, err := b.costOf(p)
	if err != nil {
		return err
	}
	after, err := memory(p.pid, "VmRSS")
	if err != nil {
		return err
	}
	rate := float64(bytes.Load()) / (b.StreamTime + b.StreamTime/settleShare).Seconds()
	say(b.out, "While somebody reads %d KiB/s and %.0f changes a second are made: %.2f %% of a core without an open page, %.2f %% with %d, which are sent %.0f KB/s. Memory %d MiB, then %d.",
		readRate>>10, float64(time.Second)/float64(changeTime), 100*without, 100*with, openPages, rate/1e3, before>>20, after>>20)
	b.verdict(with-without <= maxStreamsCost, "site: %d open pages take %.2f %% of a core, has to be ≤ %.0f", openPages, 100*(with-without), 100*maxStreamsCost)
	return nil
}

// costOf returns the share of a core that the appliance takes.
func (b *bench) costOf(p *process) (float64, error) {
	time.Sleep(b.StreamTime / settleShare)
	before, err := cpuTime(p.pid)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	time.Sleep(b.StreamTime)
	after, err := cpuTime(p.pid)
	return (after - before).Seconds() / time.Since(begin).Seconds(), err
}

// openPage is what the i-th page is: each fifth of them of one kind, and every other one of a kind at an address of its own.
func openPage(i int, l *siteLibrary) string {
	n := i / 5
	switch i % 5 {
	case 0:
		return "/"
	case 1:
		return []string{"/torrents", fmt.Sprintf("/torrents?q=film&route=%s", siteRoute(n%siteRoutes))}[n%2]
	case 2:
		return []string{"/torrents?sort=-down_rate", fmt.Sprintf("/torrents?sort=-size&q=19%d", 50+n)}[n%2]
	case 3:
		return "/torrents/" + []string{l.live.infohash, l.flat, l.tree, l.others[0]}[n%4]
	default:
		return "/api/v1/events?topics=stats,torrents,readers,pieces&ids=" + l.live.infohash
	}
}

// readSlowly reads the file of the torrent that has a seeder, as players do.
func readSlowly(ctx context.Context) error {
	const step = 64 << 10
	ticks := time.NewTicker(time.Second * step / readRate)
	defer ticks.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+shoalHTTP+"/fs/"+shoalRoute+"/"+strings.ReplaceAll(liveName, " ", "%20"), http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+shoalToken)
		resp, err := http.DefaultClient.Do(req)
		for err == nil {
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
				break
			}
			if _, err = io.CopyN(io.Discard, resp.Body, step); err == nil {
				<-ticks.C
			}
		}
		if resp != nil {
			_ = resp.Body.Close() // it was read from only
		}
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", liveName, err)
		}
	}
}

// changeOften pauses torrents and lets them go on.
func changeOften(ctx context.Context, infohashes []string) error {
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(changeTime):
		}
		body := fmt.Sprintf(`{"paused": %t}`, i/len(infohashes)%2 == 0)
		path := "/api/v1/torrents/" + infohashes[i%len(infohashes)]
		if _, err := callShoal(http.MethodPatch, path, "application/json", strings.NewReader(body), http.StatusOK); err != nil {
			return err
		}
	}
}

// errorList gathers errors of goroutines.
type errorList struct {
	mu   sync.Mutex
	list []error
}

func (l *errorList) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, err)
}

func (l *errorList) join() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.list...)
}
