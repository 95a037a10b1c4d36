//go:build linux

package browser

import (
	"context"
	"errors"
	"fmt"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

const control = 2 // the modifier of a key

// command presses Ctrl and a key, with what Chromium does for them in an editor.
func (t *Tab) command(ctx context.Context, key, command string) error {
	down := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Key: key, Commands: []string{command}}
	up := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: key}
	if len(key) == 1 {
		code := int64(key[0] - 'a' + 'A')
		down.Modifiers, down.Code, down.WindowsVirtualKeyCode = control, "Key"+string(rune(code)), code
		up.Modifiers, up.Code, up.WindowsVirtualKeyCode = control, down.Code, code
	}
	for _, event := range []input.DispatchKeyEventParams{down, up} {
		if _, err := chromedp.Call(ctx, input.DispatchKeyEvent, event); err != nil {
			return err
		}
	}
	return nil
}

// desk returns a page of the test's own, where text can be copied and pasted. A tab's page may not be allowed to read the clipboard.
func (b *Browser) desk() (*Tab, error) {
	if b.clipboard != nil {
		return b.clipboard, nil
	}
	desk, err := b.newTab()
	if err != nil {
		return nil, err
	}
	b.tb.Cleanup(func() {
		desk.watch.stop()
		desk.cancel()
	})
	b.clipboard = desk
	return desk, nil
}

// Copy returns what is in the clipboard, as a person finds it who pastes it elsewhere.
func (t *Tab) Copy() (text string) {
	t.tb.Helper()
	desk, err := t.browser.desk()
	if err == nil {
		err = desk.within(Limit, func(ctx context.Context) error {
			const empty = `document.body.replaceChildren(document.createElement("textarea")), document.body.firstChild.focus()`
			if err := desk.evaluate(ctx, empty, nil); err != nil {
				return err
			}
			return errors.Join(desk.command(ctx, "v", "paste"), desk.evaluate(ctx, "document.body.firstChild.value", &text))
		})
	}
	t.check(err, "look what is in the clipboard")
	return text
}

// Paste puts a text into the clipboard, and presses Ctrl-V while no field of the page has the focus.
func (t *Tab) Paste(text string) {
	t.tb.Helper()
	t.check(t.paste(text), "paste %.200q", text)
}

func (t *Tab) paste(text string) error {
	desk, err := t.browser.desk()
	if err != nil {
		return err
	}
	err = desk.within(Limit, func(ctx context.Context) error {
		full := fmt.Sprintf(`{
			const e = document.createElement("textarea");
			document.body.replaceChildren(e);
			e.value = %s;
			e.focus();
			e.select();
		}`, quote(text))
		return errors.Join(desk.evaluate(ctx, full, nil), desk.command(ctx, "c", "copy"))
	})
	if err != nil {
		return fmt.Errorf("clipboard: %w", err)
	}
	return t.within(Limit, func(ctx context.Context) error {
		if err := t.ready(ctx); err != nil {
			return err
		}
		const leave = "document.activeElement?.blur?.()"
		return errors.Join(t.evaluate(ctx, leave, nil), t.command(ctx, "v", "paste"), t.settle(ctx))
	})
}

// DropFiles drops files from the desktop on the first visible element that matches a CSS selector.
func (t *Tab) DropFiles(selector string, files ...string) {
	t.tb.Helper()
	paths, err := absolute(files)
	if err == nil {
		err = t.drop(selector, &input.DragData{Items: []*input.DragDataItem{}, Files: paths, DragOperationsMask: 1})
	}
	t.check(err, "drop %q on %s", files, selector)
}

// DropText drops a text, such as a link from another page, on the first visible element that matches a CSS selector.
func (t *Tab) DropText(selector, text string) {
	t.tb.Helper()
	items := []*input.DragDataItem{{MimeType: "text/plain", Data: text}}
	t.check(t.drop(selector, &input.DragData{Items: items, DragOperationsMask: 1}), "drop %.200q on %s", text, selector)
}

func (t *Tab) drop(selector string, data *input.DragData) error {
	at, err := t.await(kindSelector, selector)
	if err != nil {
		return err
	}
	return t.within(Limit, func(ctx context.Context) error {
		for _, kind := range []input.DispatchDragEventType{
			input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop,
		} {
			event := input.DispatchDragEventParams{Type: kind, X: at.X, Y: at.Y, Data: data}
			if _, err := chromedp.Call(ctx, input.DispatchDragEvent, event); err != nil {
				return err
			}
		}
		return t.settle(ctx)
	})
}
