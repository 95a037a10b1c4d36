//go:build linux

package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"shoal/test/debian"
)

const (
	axeTime = time.Minute     // for a page of thousands of rows on a busy machine; normal is below 1 s
	npmTime = 5 * time.Minute // for a slow registry
)

// The rules that are tried, as axe-core's option runOnly.
const (
	allRules   = `{type: "tag", values: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]}`
	themeRules = `{type: "rule", values: ["color-contrast", "link-in-text-block"]}` // what another theme can break
)

// Violation is what keeps some people from using a page, as axe-core finds it.
type Violation struct {
	Rule   string // its name, as "color-contrast"
	Impact string // "minor", "moderate", "serious" or "critical"
	Help   string // a sentence
	Nodes  []Node // where
}

// Node is an element with a violation.
type Node struct {
	Selector string
	HTML     string // its beginning
	Summary  string // what to do about it
}

func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s", v.Rule, v.Impact, v.Help)
	for _, n := range v.Nodes {
		fmt.Fprintf(&b, "\n  %s\n    %s\n    %s", n.Selector, n.HTML, strings.ReplaceAll(n.Summary, "\n", "\n    "))
	}
	return b.String()
}

// Axe looks for what keeps people from using the page as it is now. The order is axe-core's.
func (t *Tab) Axe() []Violation {
	t.tb.Helper()
	return t.axe(allRules)
}

func (t *Tab) axe(rules string) []Violation {
	t.tb.Helper()
	source, err := axeSource()
	if err != nil {
		debian.Unavailable(t.tb, err)
	}
	run := `axe.run(document, {runOnly: ` + rules + `, resultTypes: ["violations"]}).then((r) =>
		r.violations.map((v) => ({Rule: v.id, Impact: v.impact || "minor", Help: v.help, Nodes: v.nodes.slice(0, 20).map((n) => ({
			Selector: n.target.flat(9).join(" "), HTML: n.html.slice(0, 300), Summary: n.failureSummary || "",
		}))})))`
	var found []Violation
	err = t.within(axeTime, func(ctx context.Context) error {
		if err := t.ready(ctx); err != nil {
			return err
		}
		there := false
		if err := t.evaluate(ctx, "!!window.axe", &there); err != nil {
			return err
		}
		if !there {
			// It comes by the debugger: a page's own policy would not have it.
			if err := t.evaluate(ctx, source, nil); err != nil {
				return fmt.Errorf("load axe-core: %w", err)
			}
		}
		return t.evaluate(ctx, run, &found)
	})
	t.check(err, "axe")
	return found
}

// CheckAccessible fails the test, which goes on, if Axe finds something serious or critical.
func (t *Tab) CheckAccessible() {
	t.tb.Helper()
	t.checkAccessible(allRules)
}

// CheckColors is CheckAccessible for a page that it liked, and that has only changed its theme since.
func (t *Tab) CheckColors() {
	t.tb.Helper()
	t.checkAccessible(themeRules)
}

func (t *Tab) checkAccessible(rules string) {
	t.tb.Helper()
	for _, v := range t.axe(rules) {
		if v.Impact == "serious" || v.Impact == "critical" {
			t.tb.Errorf("%s (%s theme): %v", t.URL(), t.theme, v)
		}
	}
}

// axeSource returns axe-core, of the version that package-lock.json pins. npm gets it if it is not there.
var axeSource = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), npmTime)
	defer cancel()
	where, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "shoal/test/browser").Output()
	if err != nil {
		return "", fmt.Errorf("folder of package browser: %w", err)
	}
	folder := strings.TrimSpace(string(where))
	if err := installAxe(ctx, folder); err != nil {
		return "", fmt.Errorf("get axe-core: %w", err)
	}
	source, err := os.ReadFile(filepath.Join(folder, "node_modules", "axe-core", "axe.min.js"))
	return string(source), err
})

// installAxe has npm get what package-lock.json pins, unless it is there. Of several processes, one does so at a time.
func installAxe(ctx context.Context, folder string) error {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "shoal-test-npm.lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return err
	}
	defer lock.Close()
	for syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another npm: %w", ctx.Err())
		case <-time.After(pollEvery):
		}
	}
	if there, err := axeInstalled(folder); err != nil || there {
		return err
	}
	if _, err := exec.LookPath("npm"); err != nil {
		if err := debian.Ensure("npm"); err != nil { //nolint:contextcheck // it has a deadline of its own
			return err
		}
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts")
	npm.Dir = folder
	npm.WaitDelay = time.Second
	if said, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, bytes.TrimSpace(said))
	}
	return nil
}

// axeInstalled says whether node_modules has what package-lock.json pins.
func axeInstalled(folder string) (bool, error) {
	var pinned struct {
		Packages map[string]struct{ Version string }
	}
	var there struct{ Version string }
	if err := readJSON(filepath.Join(folder, "package-lock.json"), &pinned); err != nil {
		return false, err
	}
	err := readJSON(filepath.Join(folder, "node_modules", "axe-core", "package.json"), &there)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	want := pinned.Packages["node_modules/axe-core"].Version
	return want != "" && there.Version == want, err
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
