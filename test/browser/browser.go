//go:build linux

// Package browser lets tests use pages as a person does, in Debian's headless Chromium.
//
//	tab := browser.Open(t).NewTab()
//	tab.Go(site + "/login")
//	tab.Fill("Password", "secret")
//	tab.Click("Log in")
//	tab.AwaitText("Welcome", 10*time.Second)
//	tab.CheckAccessible()
//
// Things are found by what is written on them or beside them, as a person finds them, and used by events of mouse and keyboard
// that a page cannot tell from real ones: what is hidden, covered, disabled or there twice cannot be used. Each action waits until the page
// has loaded and what it is about is there, [Limit] at most, and then fails the test with what the page shows.
//
// A page must be in order, too: console errors, uncaught exceptions, violations of its Content-Security-Policy, requests that
// failed or went to another site, and questions that scripts ask (alert, confirm) fail the test when it ends, unless [Tab.Allow] or
// [Tab.AcceptDialogs] say otherwise.
//
// Windows that a page opens beside its own are not looked at.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"shoal/test/debian"
)

const (
	// Limit is how long an action may take, with its wait for what it is about.
	Limit = 20 * time.Second

	startLimit = time.Minute      // until Chromium answers; normal is below 1 s
	stopLimit  = 15 * time.Second // until it has ended by itself; normal is below 1 s
)

// The width and height of a tab's page before Resize, in CSS pixels.
const (
	usualWidth  = 1280
	usualHeight = 900
)

// Prepare gets Chromium and axe-core for the processes that this one starts, which may have no network to download them from.
func Prepare() error {
	if err := debian.Ensure("chromium"); err != nil {
		return err
	}
	_, err := axeSource()
	return err
}

// Browser is a Chromium of its own, which has seen no site yet. Its methods, and those of its tabs, are for the test's own goroutine.
type Browser struct {
	tb        testing.TB
	ctx       context.Context
	clipboard *Tab // where text is copied from and pasted to, made when it is needed
}

// Open starts a Chromium that ends with the test. Where it can't be had, the test ends as [debian.Unavailable] says; with -short it is
// skipped.
func Open(tb testing.TB) *Browser {
	tb.Helper()
	if testing.Short() {
		tb.Skip("runs Chromium: left out with -short")
	}
	debian.Install(tb, "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"),
		chromedp.UserDataDir(tb.TempDir()),
		chromedp.NoSandbox, // the tests may be root, whom Chromium refuses otherwise
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("lang", "en-US"),
		chromedp.Flag("no-pings", true),
		chromedp.WindowSize(usualWidth, usualHeight),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		}),
	)
	// The test's context ends before its cleanups, in which Chromium ends in good order.
	background, release := chromedp.NewExecAllocator(context.WithoutCancel(tb.Context()), options...)
	ctx, forget := chromedp.NewContext(background)
	b := &Browser{tb: tb, ctx: ctx}
	tb.Cleanup(func() {
		b.close()
		forget()
		release() // waits for the process, and removes what it left
	})
	if err := begin(ctx, forget); err != nil {
		tb.Fatalf("start Chromium: %v", err)
	}
	return b
}

// begin makes the browser or the page of a context. The context of this first call is its life, and so can't have the deadline.
func begin(ctx context.Context, cancel context.CancelFunc) error {
	done := make(chan error, 1)
	go func() { done <- chromedp.Do(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(startLimit):
		cancel()
		return fmt.Errorf("it is not there after %v: %w", startLimit, <-done)
	}
}

// close ends Chromium, and what it has started, which is its process group.
func (b *Browser) close() {
	process := 0
	if c := chromedp.FromContext(b.ctx); c != nil && c.Browser != nil && c.Browser.Process() != nil {
		process = c.Browser.Process().Pid
	}
	ctx, cancel := context.WithTimeout(b.ctx, stopLimit)
	defer cancel()
	if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
		b.tb.Logf("end Chromium: %v", err) // it is killed below
	}
	if process > 0 {
		_ = syscall.Kill(-process, syscall.SIGKILL) // all have ended, normally
	}
}

// NewTab opens an empty page, which shares cookies and cache with the browser's other ones.
func (b *Browser) NewTab() *Tab {
	b.tb.Helper()
	t, err := b.newTab()
	if err != nil {
		b.tb.Fatalf("new tab: %v", err)
	}
	b.tb.Cleanup(t.finish)
	return t
}

// newTab is NewTab for a page that nobody watches.
func (b *Browser) newTab() (*Tab, error) {
	w := newWatch()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithListener(w.event))
	t := &Tab{tb: b.tb, browser: b, ctx: ctx, cancel: cancel, watch: w, theme: "light"}
	if err := begin(ctx, cancel); err != nil {
		cancel()
		return nil, err
	}
	err := t.within(Limit, func(ctx context.Context) error {
		// A page that believes that it has no focus shows less, and has no clipboard.
		focus := emulation.SetFocusEmulationEnabledParams{Enabled: true}
		_, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, focus)
		return errors.Join(err, t.resize(ctx, usualWidth, usualHeight), t.setTheme(ctx, t.theme))
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open a page: %w", err)
	}
	w.start(string(chromedp.FromContext(ctx).Target.TargetID), t.answerDialog)
	return t, nil
}
