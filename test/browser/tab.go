//go:build linux

package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	pollEvery   = 25 * time.Millisecond
	describeFor = 5 * time.Second // how long a failed test may take to say what the page shows
	shownText   = 2 << 10         // bytes of it
)

// Tab is one page.
type Tab struct {
	tb      testing.TB
	browser *Browser
	ctx     context.Context
	cancel  context.CancelFunc
	watch   *watch
	scope   string // where things are looked for, a selector; everywhere if empty
	theme   string
}

// In returns the same tab, whose actions look only inside of what matches a CSS selector: a row, a section. Without it they look
// everywhere, or, while there is a modal dialog, in that.
func (t *Tab) In(selector string) *Tab {
	inside := *t
	inside.scope = selector
	return &inside
}

// Go shows the page of a URL, and allows requests to its origin from now on. It waits until the page has loaded.
func (t *Tab) Go(url string) {
	t.tb.Helper()
	t.watch.allowOrigin(url)
	err := t.within(Limit, func(ctx context.Context) error {
		result, err := chromedp.Call(ctx, page.Navigate, page.NavigateParams{URL: url})
		if err != nil {
			return err
		}
		if result.ErrorText != "" {
			return errors.New(result.ErrorText)
		}
		return t.ready(ctx)
	})
	t.check(err, "go to %s", url)
}

// Reload loads the page again.
func (t *Tab) Reload() {
	t.tb.Helper()
	err := t.within(Limit, func(ctx context.Context) error {
		if _, err := chromedp.Call(ctx, page.Reload, page.ReloadParams{}); err != nil {
			return err
		}
		return errors.Join(t.settle(ctx), t.ready(ctx))
	})
	t.check(err, "reload")
}

// Eval evaluates a JavaScript expression, waits for it if it is a promise, and decodes its value into what result points to, unless
// that is nil.
func (t *Tab) Eval(expression string, result any) {
	t.tb.Helper()
	err := t.within(Limit, func(ctx context.Context) error {
		if err := t.ready(ctx); err != nil {
			return err
		}
		return t.evaluate(ctx, expression, result)
	})
	t.check(err, "evaluate %.200s", expression)
}

// Await waits until a JavaScript expression is true, for limit at most. A page that loads in between is no obstacle.
func (t *Tab) Await(expression string, limit time.Duration) {
	t.tb.Helper()
	err := t.poll(limit, func(ctx context.Context) error {
		done := false
		if err := t.evaluate(ctx, "!!("+expression+")", &done); err != nil {
			return err
		}
		if !done {
			return errors.New("it is not true")
		}
		return nil
	})
	t.check(err, "await %.200s", expression)
}

// AwaitText waits until a text can be read on the page, in what In says, for limit at most. White space counts as one space.
func (t *Tab) AwaitText(text string, limit time.Duration) {
	t.tb.Helper()
	err := t.poll(limit, func(ctx context.Context) error {
		shown, err := t.visibleText(ctx, t.scope)
		if err != nil {
			return err
		}
		if !strings.Contains(shown, strings.Join(strings.Fields(text), " ")) {
			return errors.New("it is not there")
		}
		return nil
	})
	t.check(err, "await the text %q", text)
}

// Has says whether a text can be read on the page now, in what In says.
func (t *Tab) Has(text string) bool {
	t.tb.Helper()
	return strings.Contains(t.Text(""), strings.Join(strings.Fields(text), " "))
}

// Text returns what can be read in the first element that matches a CSS selector, with single spaces; that of the whole page, or what
// In says, if the selector is empty. It waits until there is such an element.
func (t *Tab) Text(selector string) (text string) {
	t.tb.Helper()
	if selector == "" {
		selector = t.scope
	} else if t.scope != "" {
		selector = ":is(" + t.scope + ") " + selector
	}
	err := t.poll(Limit, func(ctx context.Context) (err error) {
		if err := t.ready(ctx); err != nil {
			return err
		}
		text, err = t.visibleText(ctx, selector)
		return err
	})
	t.check(err, "text of %q", selector)
	return text
}

// URL returns the page's.
func (t *Tab) URL() (url string) {
	t.tb.Helper()
	t.Eval("location.href", &url)
	return url
}

func (t *Tab) visibleText(ctx context.Context, selector string) (text string, err error) {
	expression := "(document.body ? document.body.innerText : document.documentElement.textContent)"
	if selector != "" {
		expression = "document.querySelector(" + quote(selector) + ")?.innerText"
	}
	var got *string
	if err := t.evaluate(ctx, expression+" ?? null", &got); err != nil {
		return "", err
	}
	if got == nil {
		return "", fmt.Errorf("nothing matches %s", selector)
	}
	return strings.Join(strings.Fields(*got), " "), nil
}

// quote returns s as a JavaScript string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings can be encoded
	}
	return string(b)
}

// exception is what a script has thrown.
type exception struct{ details *runtime.ExceptionDetails }

func (e exception) Error() string {
	if e.details.Exception != nil && e.details.Exception.Description != "" {
		return e.details.Exception.Description
	}
	return e.details.Text
}

// evaluate is Eval with the page as it is.
func (t *Tab) evaluate(ctx context.Context, expression string, result any) error {
	object, err := t.object(ctx, expression, true)
	if err != nil || result == nil {
		return err
	}
	value := []byte(object.Value)
	if len(value) == 0 {
		value = []byte("null") // undefined
	}
	if err := json.Unmarshal(value, result); err != nil {
		return fmt.Errorf("value %.200s: %w", value, err)
	}
	return nil
}

// object evaluates an expression to its value, or else to a reference.
func (t *Tab) object(ctx context.Context, expression string, value bool) (*runtime.RemoteObject, error) {
	yes := true
	params := runtime.EvaluateParams{Expression: expression, ReturnByValue: &value, AwaitPromise: &yes}
	got, err := chromedp.Call(ctx, runtime.Evaluate, params)
	switch {
	case err != nil:
		return nil, err
	case got.ExceptionDetails != nil:
		return nil, exception{got.ExceptionDetails}
	case got.Result == nil:
		return nil, errors.New("no value")
	}
	return got.Result, nil
}

// within runs an action with a deadline.
func (t *Tab) within(limit time.Duration, action func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(t.ctx, limit)
	defer cancel()
	return action(ctx)
}

// poll tries something until it succeeds. The error is that of the last time.
func (t *Tab) poll(limit time.Duration, try func(context.Context) error) error {
	return t.within(limit, func(ctx context.Context) error {
		var last error
		for {
			err := try(ctx)
			if err == nil {
				return nil
			}
			if ctx.Err() == nil || last == nil {
				last = err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("after %v: %w", limit, last)
			case <-time.After(pollEvery):
			}
		}
	})
}

// ready waits until the page has loaded.
func (t *Tab) ready(ctx context.Context) error {
	for {
		state := ""
		if err := t.evaluate(ctx, "document.readyState", &state); err == nil && state == "complete" && !t.watch.loading() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the page is still loading: %w", ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// settle gives the page the time to begin what an action asks for: without it, the next action might still find the old page.
func (t *Tab) settle(ctx context.Context) error {
	for range 2 {
		// The renderer takes it up behind what the action has queued there; it fails while the page is replaced.
		_ = t.evaluate(ctx, "1", nil)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
	return nil
}

// check ends the test if an action failed, with what the page shows.
func (t *Tab) check(err error, format string, args ...any) {
	t.tb.Helper()
	if err == nil {
		return
	}
	t.tb.Fatalf("%s: %v\n%s", fmt.Sprintf(format, args...), err, t.describe())
}

// describe tells what the page shows.
func (t *Tab) describe() string {
	var shown struct{ Title, URL, Text string }
	err := t.within(describeFor, func(ctx context.Context) error {
		return t.evaluate(ctx, "({Title: document.title, URL: location.href, Text: document.body?.innerText ?? ''})", &shown)
	})
	if err != nil {
		return fmt.Sprintf("and what the page shows is not known: %v", err)
	}
	text := shown.Text
	if len(text) > shownText {
		text = strings.ToValidUTF8(text[:shownText], "") + " …"
	}
	problems := ""
	if list := t.watch.problems(); len(list) > 0 {
		problems = "\nProblems:\n" + strings.Join(list, "\n")
	}
	return fmt.Sprintf("The page %s, %q, shows:\n%s%s", shown.URL, shown.Title, text, problems)
}

// finish fails the test for what was wrong with the pages.
func (t *Tab) finish() {
	for _, problem := range t.watch.problems() {
		t.tb.Errorf("a page was not in order: %s", problem)
	}
	t.watch.stop()
	t.cancel()
}
