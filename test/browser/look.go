//go:build linux

package browser

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// screenshots is the variable with the folder where screenshots are kept.
const screenshots = "SCREENSHOTS"

// phone is the width, in CSS pixels, below which a window is one.
const phone = 600

// Resize makes the window as large as this, in CSS pixels; below 600 it is a phone's, for which the page's viewport counts.
func (t *Tab) Resize(width, height int) {
	t.tb.Helper()
	err := t.within(Limit, func(ctx context.Context) error {
		return errors.Join(t.resize(ctx, width, height), t.ready(ctx))
	})
	t.check(err, "resize to %d×%d", width, height)
}

func (t *Tab) resize(ctx context.Context, width, height int) error {
	size := emulation.SetDeviceMetricsOverrideParams{
		Width: int64(width), Height: int64(height), DeviceScaleFactor: 1, Mobile: width < phone,
	}
	_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, size)
	return err
}

// Dark has the person prefer dark pages.
func (t *Tab) Dark() {
	t.tb.Helper()
	t.prefer("dark")
}

// Light has the person prefer light pages, as at first.
func (t *Tab) Light() {
	t.tb.Helper()
	t.prefer("light")
}

func (t *Tab) prefer(theme string) {
	t.tb.Helper()
	t.theme = theme
	t.check(t.within(Limit, func(ctx context.Context) error { return t.setTheme(ctx, theme) }), "prefer %s pages", theme)
}

// setTheme also has the person prefer no movement, so that no screenshot is made in the middle of one.
func (t *Tab) setTheme(ctx context.Context, theme string) error {
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media)
	return err
}

// NoScript has the pages that are loaded from now on run no script, or again.
func (t *Tab) NoScript(off bool) {
	t.tb.Helper()
	err := t.within(Limit, func(ctx context.Context) error {
		params := emulation.SetScriptExecutionDisabledParams{Value: off}
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, params)
		return err
	})
	t.check(err, "switch scripts off or on")
}

// Screenshot keeps a picture of the whole page as NAME.png, in the folder that the variable SCREENSHOTS names, else only for the test, and
// returns its path.
func (t *Tab) Screenshot(name string) (path string) {
	t.tb.Helper()
	folder := os.Getenv(screenshots)
	if folder == "" {
		folder = t.tb.TempDir()
	}
	path = filepath.Join(folder, name+".png")
	err := t.within(Limit, func(ctx context.Context) error {
		if err := t.ready(ctx); err != nil {
			return err
		}
		all, err := chromedp.Call(ctx, page.GetLayoutMetrics, struct{}{})
		if err != nil {
			return err
		}
		beyond := true
		picture, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
			CaptureBeyondViewport: &beyond,
			Clip:                  &page.Viewport{Width: all.CSSContentSize.Width, Height: all.CSSContentSize.Height, Scale: 1},
		})
		if err != nil {
			return err
		}
		return errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(path, picture.Data, 0o644))
	})
	t.check(err, "screenshot %s", name)
	return path
}
