package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"shoal/torrents"
)

// addResult is what became of what was to be added.
type addResult struct {
	Route       string
	Added       int
	First       torrents.Infohash // of those that were added
	Known       []addOutcome
	KnownCount  int
	Failed      []addOutcome
	FailedCount int

	lines []string // links that failed
	rest  int      // links that were too many
}

// addOutcome is a link or file that brought no torrent, and why.
type addOutcome struct {
	Source   string
	Known    *knownTorrent
	Sentence string
}

// complete says whether everything was added, so that there is nothing more to say.
func (a *addResult) complete() bool { return a.Added > 0 && a.KnownCount+a.FailedCount+a.rest == 0 }

// where shows what was added.
func (a *addResult) where(s *server) string {
	if a.Added == 1 {
		return s.url("/torrents", a.First)
	}
	address, _ := query(s.url("/torrents"), "route", a.Route) // a pair
	return address
}

// addAll adds what a form has. What is at URLs is waited for, as long as a preview would wait.
func (s *server) addAll(r *http.Request, f *addForm) *addResult {
	ctx, cancel := context.WithTimeout(r.Context(), maxPreviewTime)
	defer cancel()
	route := f.target()
	added := make([]torrents.Torrent, len(f.files)+len(f.links))
	errs := make([]error, len(added))
	for i, file := range f.files {
		errs[i] = s.inNewRoute(route, func() (err error) {
			added[i], err = s.library.AddMetainfo(route, file.metainfo)
			return err
		})
	}
	s.addLinks(ctx, route, f.links, added[len(f.files):], errs[len(f.files):])

	result := &addResult{Route: route, rest: len(f.rest)}
	for i, err := range errs {
		source, isLink := "", i >= len(f.files)
		if isLink {
			source = f.links[i-len(f.files)]
		} else {
			source = f.files[i].name
		}
		if err == nil {
			if result.Added++; result.Added == 1 {
				result.First = added[i].Infohash
			}
			continue
		}
		s.addOutcome(r, result, source, isLink, err)
	}
	return result
}

// addLinks adds links to a route. What becomes of each is put in its place in added and errs.
func (s *server) addLinks(ctx context.Context, route string, links []string, added []torrents.Torrent, errs []error) {
	var fetching sync.WaitGroup
	var magnets []string
	var places []int
	for i, link := range links {
		kind, err := torrents.RecogniseLink(link)
		switch {
		case err != nil:
			errs[i] = err
		case kind == torrents.PreviewURL:
			fetching.Go(func() {
				errs[i] = s.inNewRoute(route, func() (err error) {
					added[i], err = s.library.AddURL(ctx, route, link)
					return err
				})
			})
		default:
			magnets, places = append(magnets, link), append(places, i)
		}
	}
	if len(magnets) > 0 {
		s.addMagnets(route, magnets, func(n int, t torrents.Torrent, err error) { added[places[n]], errs[places[n]] = t, err })
	}
	fetching.Wait()
}

// addMagnets adds magnet links to a route, which is made for the first that can be read, and reports what becomes of each.
func (s *server) addMagnets(route string, magnets []string, report func(n int, t torrents.Torrent, err error)) {
	var added []torrents.Torrent
	var errs []error
	err := s.inNewRoute(route, func() error {
		added, errs = s.library.AddMagnets(route, magnets)
		for _, err := range errs {
			if errors.Is(err, torrents.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	for n := range magnets {
		if err != nil && errors.Is(errs[n], torrents.ErrNotFound) {
			errs[n] = err
		}
		report(n, added[n], errs[n])
	}
}

// addOutcome notes why a link or file was not added.
func (s *server) addOutcome(r *http.Request, result *addResult, source string, isLink bool, err error) {
	o := addOutcome{Source: visible(strings.ToValidUTF8(source[:min(len(source), maxSource)], ""))}
	if exists, ok := errors.AsType[*torrents.ExistsError](err); ok {
		o.Known = &knownTorrent{exists.Infohash.String(), exists.Route, exists.Torrent}
		if result.KnownCount++; result.KnownCount <= maxOutcomesShown {
			result.Known = append(result.Known, o)
		}
		return
	}
	if isLink {
		result.lines = append(result.lines, source)
	}
	if result.FailedCount++; result.FailedCount > maxOutcomesShown {
		return
	}
	if errors.Is(err, context.DeadlineExceeded) {
		o.Sentence = "The .torrent file was not sent in time."
	} else {
		o.Sentence = s.problemOf(r, err).Detail
	}
	result.Failed = append(result.Failed, o)
}
