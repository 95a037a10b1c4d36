//go:build linux

package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// maxProblems are kept of each tab.
const maxProblems = 100

// watch notes what the pages of a tab ask for and complain about. Its event is called by chromedp's goroutine.
type watch struct {
	mu       sync.Mutex
	frame    string // the main frame's id
	busy     bool   // the main frame is loading
	origins  []string
	found    []string
	allowed  []*regexp.Regexp
	accept   bool // dialogs
	requests map[network.RequestID]*request
	pages    []*loaded
	answer   func(accept bool)
	ended    bool

	answering sync.WaitGroup // what answer runs in
}

// request is one that a page has sent.
type request struct {
	url, method string
	loader      cdp.LoaderID
	count       int // 2 and more after redirects
	before      int // bytes of the redirects
	bytes       int
}

// loaded is a page that was shown.
type loaded struct {
	url    string
	loader cdp.LoaderID
}

func newWatch() *watch { return &watch{requests: make(map[network.RequestID]*request)} }

// start tells the id of the main frame, and who answers dialogs. Until then there is an empty page only.
func (w *watch) start(frame string, answer func(accept bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frame, w.answer = frame, answer
}

// stop ends the answers.
func (w *watch) stop() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.answering.Wait()
}

func (w *watch) loading() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy
}

// allowOrigin allows requests to the origin of a URL.
func (w *watch) allowOrigin(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.origins = append(w.origins, origin(address))
}

// origin returns scheme, host and port of a URL; its scheme only where there is nobody to ask.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	if u.Scheme == "blob" {
		return origin(u.Opaque)
	}
	return u.Scheme + "://" + u.Host
}

// own says whether a request to a URL leaves the site.
func (w *watch) own(address string) bool {
	switch o := origin(address); {
	case strings.HasPrefix(o, "data:"), strings.HasPrefix(o, "about:"):
		return true
	default:
		return slices.Contains(w.origins, o)
	}
}

func (w *watch) problem(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); len(w.found) < maxProblems && !slices.Contains(w.found, text) {
		w.found = append(w.found, text)
	}
}

// problems returns what was found, but for what is allowed.
func (w *watch) problems() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.found), func(problem string) bool {
		return slices.ContainsFunc(w.allowed, func(p *regexp.Regexp) bool { return p.MatchString(problem) })
	})
}

// event is called for each event of the tab, and must not wait.
func (w *watch) event(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *page.EventFrameStartedLoading:
		if string(e.FrameID) == w.frame {
			w.busy = true
		}
	case *page.EventFrameStoppedLoading:
		if string(e.FrameID) == w.frame {
			w.busy = false
		}
	case *page.EventFrameNavigated:
		if e.Frame.ParentID == "" {
			w.frame = string(e.Frame.ID)
			w.pages = append(w.pages, &loaded{e.Frame.URL, e.Frame.LoaderID})
		}
	case *page.EventJavascriptDialogOpening:
		w.dialog(e)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			w.problem("console: %s", arguments(e.Args))
		}
	case *runtime.EventExceptionThrown:
		w.problem("uncaught: %v", exception{e.ExceptionDetails})
	case *log.EventEntryAdded:
		// What failed on the network is told by its own events, with the status.
		if e.Entry.Level == log.EntryLevelError && (e.Entry.Source != log.EntrySourceNetwork || e.Entry.NetworkRequestID == "") {
			w.problem("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	default:
		w.networkEvent(event)
	}
}

func (w *watch) networkEvent(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		r := w.requests[e.RequestID]
		if r == nil {
			r = &request{}
			w.requests[e.RequestID] = r
		} else if e.RedirectResponse != nil {
			r.before += int(e.RedirectResponse.EncodedDataLength)
			r.bytes = 0
		}
		r.url, r.method, r.loader = e.Request.URL, e.Request.Method, e.LoaderID
		r.count++
		if !w.own(r.url) {
			w.problem("request to another site: %s %s", r.method, r.url)
		}
	case *network.EventResponseReceived:
		if r := w.requests[e.RequestID]; r != nil && !e.Response.FromDiskCache {
			r.bytes = int(e.Response.EncodedDataLength)
		}
		if e.Response.Status >= http.StatusBadRequest {
			method := ""
			if r := w.requests[e.RequestID]; r != nil {
				method = r.method + " "
			}
			w.problem("status %d: %s%s", e.Response.Status, method, e.Response.URL)
		}
	case *network.EventDataReceived:
		if r := w.requests[e.RequestID]; r != nil {
			r.bytes += int(e.EncodedDataLength)
		}
	case *network.EventLoadingFinished:
		if r := w.requests[e.RequestID]; r != nil {
			r.bytes = int(e.EncodedDataLength)
		}
	case *network.EventLoadingFailed:
		// Who leaves a page ends its requests; a download is no page.
		if r := w.requests[e.RequestID]; r != nil && !e.Canceled && e.ErrorText != "net::ERR_ABORTED" {
			w.problem("request failed: %s %s: %s %s", r.method, r.url, e.ErrorText, e.BlockedReason)
		}
	}
}

// dialog answers a question of a script, which stops the page until then.
func (w *watch) dialog(e *page.EventJavascriptDialogOpening) {
	if !w.accept && e.Type != page.DialogTypeBeforeunload {
		w.problem("the page asks (%s): %s", e.Type, e.Message)
	}
	if w.answer != nil && !w.ended {
		accept := w.accept || e.Type == page.DialogTypeBeforeunload
		w.answering.Go(func() { w.answer(accept) })
	}
}

// arguments returns those of a call of the console as text.
func arguments(list []*runtime.RemoteObject) string {
	var text []string
	for _, o := range list {
		if o.Description != "" {
			text = append(text, o.Description)
		} else {
			text = append(text, string(o.Value))
		}
	}
	return strings.Join(text, " ")
}

// answerDialog answers the question that the page waits for.
func (t *Tab) answerDialog(accept bool) {
	// It fails if the page has gone, with its question.
	_ = t.within(Limit, func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: accept})
		return err
	})
}

// AcceptDialogs says yes to what scripts ask from now on (confirm), instead of no and a failed test.
func (t *Tab) AcceptDialogs() {
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	t.watch.accept = true
}

// Allow lets problems pass that a regular expression matches, such as `status 422: POST .*/login`, also those of before.
func (t *Tab) Allow(pattern string) {
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	t.watch.allowed = append(t.watch.allowed, regexp.MustCompile(pattern))
}

// Problems returns what has been wrong with the tab's pages so far, but for what is allowed.
func (t *Tab) Problems() []string { return t.watch.problems() }

// Weight is what a page has asked the network for, until the next page was there.
type Weight struct {
	URL      string
	Requests int // with redirects, and those that the cache answers
	Bytes    int // received, with headers, compressed as they came; none from the cache
}

// Weights returns those of all pages that the tab has shown, in their order. A page counts anew each time.
func (t *Tab) Weights() []Weight {
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	var weights []Weight
	for _, p := range t.watch.pages {
		weight := Weight{URL: p.url}
		for _, r := range t.watch.requests {
			if r.loader == p.loader && !strings.HasPrefix(r.url, "data:") {
				weight.Requests += r.count
				weight.Bytes += r.before + r.bytes
			}
		}
		if weight.Requests > 0 {
			weights = append(weights, weight)
		}
	}
	return weights
}

// NoCache has the pages from now on fetch everything anew, as for who comes for the first time. It is for Weights.
func (t *Tab) NoCache() {
	t.tb.Helper()
	err := t.within(Limit, func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
		return err
	})
	t.check(err, "do without the cache")
}
