//go:build linux

package browser

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	_ "embed"
)

// find finds an element for a kind, a text and a scope.
//
//go:embed find.js
var find string

// point says where an element can be clicked.
//
//go:embed point.js
var point string

// The kinds of things that find knows.
const (
	kindField    = "field"    // text can be typed into it
	kindBox      = "box"      // can be ticked
	kindChoice   = "choice"   // has options
	kindFile     = "file"     // takes files
	kindPress    = "press"    // buttons and links
	kindLink     = "link"     // links
	kindSelector = "selector" // the text is a CSS selector
)

// spot is where an element can be clicked, in CSS pixels of the window.
type spot struct {
	Error   string
	X, Y    float64
	Checked bool
}

// locate finds an element, once.
func (t *Tab) locate(ctx context.Context, kind, text string) (spot, error) {
	var at spot
	expression := fmt.Sprintf("(() => { const e = (%s)(%s, %s, %s); return typeof e === 'string' ? {error: e} : (%s)(e, %[2]s) })()",
		find, quote(kind), quote(text), quote(t.scope), point)
	if err := t.ready(ctx); err != nil {
		return at, err
	}
	if err := t.evaluate(ctx, expression, &at); err != nil {
		return at, err
	}
	if at.Error != "" {
		return at, errors.New(at.Error)
	}
	return at, nil
}

// await waits until an element can be clicked, and stays where it is.
func (t *Tab) await(kind, text string) (spot, error) {
	var at spot
	err := t.poll(Limit, func(ctx context.Context) error {
		before := at
		var err error
		if at, err = t.locate(ctx, kind, text); err == nil && at != before {
			err = errors.New("it moves")
		}
		return err
	})
	return at, err
}

// click clicks an element.
func (t *Tab) click(kind, text string) error {
	at, err := t.await(kind, text)
	if err != nil {
		return err
	}
	return t.within(Limit, func(ctx context.Context) error { return t.clickAt(ctx, at) })
}

func (t *Tab) clickAt(ctx context.Context, at spot) error {
	for _, event := range []input.DispatchMouseEventParams{
		{Type: input.DispatchMouseEventTypeMouseMoved},
		{Type: input.DispatchMouseEventTypeMousePressed, Button: input.MouseButtonLeft, Buttons: 1, ClickCount: 1},
		{Type: input.DispatchMouseEventTypeMouseReleased, Button: input.MouseButtonLeft, ClickCount: 1},
	} {
		event.X, event.Y = at.X, at.Y
		if _, err := chromedp.Call(ctx, input.DispatchMouseEvent, event); err != nil {
			return err
		}
	}
	return t.settle(ctx)
}

// Click clicks the button, link or summary with a text on it, or a name for screen readers: first what has exactly this text, else what
// begins with it, else what contains it.
func (t *Tab) Click(text string) {
	t.tb.Helper()
	t.check(t.click(kindPress, text), "click on %q", text)
}

// Follow clicks a link.
func (t *Tab) Follow(text string) {
	t.tb.Helper()
	t.check(t.click(kindLink, text), "follow the link %q", text)
}

// ClickOn clicks the first visible element that matches a CSS selector.
func (t *Tab) ClickOn(selector string) {
	t.tb.Helper()
	t.check(t.click(kindSelector, selector), "click on %s", selector)
}

// Fill types a text into the field with a label, in place of what is there.
func (t *Tab) Fill(label, text string) {
	t.tb.Helper()
	t.check(t.fill(label, text), "fill %q with %q", label, text)
}

func (t *Tab) fill(label, text string) error {
	if err := t.click(kindField, label); err != nil {
		return err
	}
	return t.within(Limit, func(ctx context.Context) error {
		if err := t.command(ctx, "a", "selectAll"); err != nil {
			return err
		}
		if text == "" {
			return t.command(ctx, "Delete", "delete")
		}
		_, err := chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: text})
		return err
	})
}

// Press presses keys, one after another, for what has the focus: see the constants of chromedp's package kb for those without a character.
func (t *Tab) Press(keys string) {
	t.tb.Helper()
	err := t.within(Limit, func(ctx context.Context) error {
		if err := t.ready(ctx); err != nil {
			return err
		}
		for _, key := range keys {
			if err := pressKey(ctx, key); err != nil {
				return err
			}
		}
		return t.settle(ctx)
	})
	t.check(err, "press %q", keys)
}

// pressKey presses a key. Its character comes with the event that the key is down, so that the page can prevent it.
func pressKey(ctx context.Context, key rune) error {
	events := kb.Encode(key)
	text := events[min(1, len(events)-1)].Text // of the character, which is between down and up
	for _, event := range events {
		switch event.Type {
		case kb.KeyChar:
			continue
		case kb.KeyDown:
			if event.Text = text; text != "" {
				event.Type = input.DispatchKeyEventTypeKeyDown
			}
		}
		if _, err := chromedp.Call(ctx, input.DispatchKeyEvent, *event); err != nil {
			return err
		}
	}
	return nil
}

// Tick ticks the check box or radio button with a label, unless it is.
func (t *Tab) Tick(label string) {
	t.tb.Helper()
	t.check(t.tick(label, true), "tick %q", label)
}

// Untick takes the tick off the check box with a label, unless it has none.
func (t *Tab) Untick(label string) {
	t.tb.Helper()
	t.check(t.tick(label, false), "take the tick off %q", label)
}

func (t *Tab) tick(label string, want bool) error {
	at, err := t.await(kindBox, label)
	if err != nil || at.Checked == want {
		return err
	}
	return t.within(Limit, func(ctx context.Context) error { return t.clickAt(ctx, at) })
}

// Choose chooses an option, by its text, of the choice with a label.
func (t *Tab) Choose(label, option string) {
	t.tb.Helper()
	// The list that Chromium opens is none of the page's: there is nothing to click.
	const choose = `(e, text) => {
		const options = [...e.options].filter((o) => !o.disabled && o.text.replace(/\s+/g, " ").trim() === text);
		if (options.length !== 1) return "the options are " + JSON.stringify([...e.options].map((o) => o.text.trim()));
		e.focus();
		e.value = options[0].value;
		e.dispatchEvent(new Event("input", {bubbles: true}));
		e.dispatchEvent(new Event("change", {bubbles: true}));
		return "";
	}`
	_, err := t.await(kindChoice, label)
	if err == nil {
		err = t.within(Limit, func(ctx context.Context) error {
			said := ""
			expression := fmt.Sprintf("(%s)((%s)(%s, %s, %s), %s)", choose, find, quote(kindChoice), quote(label), quote(t.scope), quote(option))
			if err := t.evaluate(ctx, expression, &said); err != nil {
				return err
			}
			if said != "" {
				return errors.New(said)
			}
			return t.settle(ctx)
		})
	}
	t.check(err, "choose %q of %q", option, label)
}

// Attach gives files to the file input with a label.
func (t *Tab) Attach(label string, files ...string) {
	t.tb.Helper()
	t.check(t.attach(label, files), "attach %q to %q", files, label)
}

func (t *Tab) attach(label string, files []string) error {
	paths, err := absolute(files)
	if err != nil {
		return err
	}
	if _, err := t.await(kindFile, label); err != nil {
		return err
	}
	return t.within(Limit, func(ctx context.Context) error {
		expression := fmt.Sprintf("(%s)(%s, %s, %s)", find, quote(kindFile), quote(label), quote(t.scope))
		field, err := t.object(ctx, expression, false)
		if err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, dom.SetFileInputFiles, dom.SetFileInputFilesParams{Files: paths, ObjectID: field.ObjectID})
		return errors.Join(err, t.settle(ctx))
	})
}

// absolute returns paths as Chromium wants them.
func absolute(files []string) (paths []string, err error) {
	for _, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
