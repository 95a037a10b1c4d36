package admin

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestOpenPage makes parts again only when there is something else to show, or what is shown grew older.
func TestOpenPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pages openPages
		page, leave := pages.enter("a")
		same, leaveToo := pages.enter("a")
		if page != same {
			t.Error("two streams of a page do not share it")
		}
		made := 0
		show := func(view any) {
			t.Helper()
			_, err := page.show(&frame{View: view}, func(*frame) ([]fragment, error) { made++; return nil, nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		rows := func(names ...string) torrentsView {
			return torrentsView{Total: len(names), Filtered: names[0] == "x", Shown: names[0]}
		}
		for _, step := range []struct {
			view any
			wait time.Duration
			made int
		}{
			{rows("a"), 0, 1},
			{rows("a"), tickLength, 1},
			{rows("b"), tickLength, 2},
			{rows("b"), sameTime - 2*tickLength, 2},
			{rows("b"), 2 * tickLength, 3},
		} {
			time.Sleep(step.wait)
			if show(step.view); made != step.made {
				t.Errorf("after %v with %v the parts were made %d times, want %d", step.wait, step.view, made, step.made)
			}
		}
		broken := errors.New("broken")
		if _, err := page.show(&frame{Page: "b"}, func(*frame) ([]fragment, error) { return nil, broken }); !errors.Is(err, broken) {
			t.Errorf("the error is %v", err)
		}
		leave()
		leaveToo()
		if len(pages.of) != 0 {
			t.Errorf("%d pages are kept that nobody has open", len(pages.of))
		}
	})
}
