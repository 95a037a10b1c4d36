package admin

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestPagesForBrowser keeps the list of pages that test/browser looks at the router's, so that a new page cannot be forgotten there.
func TestPagesForBrowser(t *testing.T) {
	const list = "../test/browser/testdata/pages.txt"
	b, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, c := range calls(t) {
		if c.method == http.MethodGet && c.isPage() && !strings.HasPrefix(c.template, staticPath) {
			pages = append(pages, c.template)
		}
	}
	slices.Sort(pages)
	if got, want := strings.TrimSpace(string(b)), strings.Join(slices.Compact(pages), "\n"); got != want {
		t.Errorf("%s has\n%s\nand the router\n%s\nGive a page that is new a visit in TestEveryPage, too.", list, got, want)
	}
}
