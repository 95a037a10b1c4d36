// Command report reads `go test -json` on standard input and prints what plain `go test` would have
// printed: one result line a package, and the output of what failed. Plain `go test` is silent about
// skipped tests, so report ends with a list of them and their reasons, and with the totals.
//
// It exits 1 when something failed, when nothing ran at all, and with -noskip when a test was skipped:
// a machine that is meant to run every test must not turn green because it ran only some.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	noskip := flag.Bool("noskip", false, "fail when a test was skipped")
	flag.Parse()
	ok, err := run(os.Stdin, os.Stdout, *noskip)
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// event is what `go doc test2json` calls TestEvent, and `go help buildjson` BuildEvent.
type event struct {
	Action  string
	Package string // empty in the events of a build
	Test    string // empty in the events of a package as a whole
	Output  string // a line, or a part of one
}

// run reports whether all is well with the tests whose events it reads from in.
func run(in io.Reader, out io.Writer, noskip bool) (bool, error) {
	r := report{out: out, under: map[string]*result{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				r.add(e)
			} else {
				fmt.Fprintf(out, "%s", line) // not an event: somebody's plain words
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
	}
	return r.close(noskip), nil
}

// report is what is known so far of all packages.
type report struct {
	out     io.Writer
	under   map[string]*result // packages under way
	passed  int                // tests and subtests
	failed  int                // tests and subtests, and packages that failed without one
	skipped []string           // a line each
}

// result is one package under way.
type result struct {
	output []event
	ended  map[string]string // how each test ended: pass, fail or skip
}

func (r *report) add(e event) {
	if e.Package == "" { // what the compiler says
		fmt.Fprint(r.out, e.Output)
		return
	}
	p := r.under[e.Package]
	if p == nil {
		p = &result{ended: map[string]string{}}
		r.under[e.Package] = p
	}
	switch e.Action {
	case "output":
		p.output = append(p.output, e)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.end(e, p)
			delete(r.under, e.Package)
			return
		}
		p.ended[e.Test] = e.Action
		switch e.Action {
		case "pass":
			r.passed++
		case "fail":
			r.failed++
		case "skip":
			r.skipped = append(r.skipped, fmt.Sprintf("%s %s: %s", e.Package, e.Test, p.reason(e.Test)))
		}
	}
}

// end prints the package whose last event is e.
func (r *report) end(e event, p *result) {
	if e.Action != "fail" {
		for _, o := range p.output {
			// What a passing package says beside its result line is not shown by go test either.
			if o.Test == "" && (strings.HasPrefix(o.Output, "ok  \t") || strings.HasPrefix(o.Output, "?   \t")) {
				fmt.Fprint(r.out, o.Output)
			}
		}
		return
	}
	blamed := false
	for _, how := range p.ended {
		blamed = blamed || how == "fail"
	}
	if !blamed { // it didn't compile, died, or failed outside of any test
		r.failed++
	}
	var names []string // in the order they began, so a test stands before its subtests
	said := map[string][]string{}
	for _, o := range p.output {
		if how := p.ended[o.Test]; how == "pass" || how == "skip" { // neither, where the package died
			continue
		}
		if _, known := said[o.Test]; !known && o.Test != "" {
			names = append(names, o.Test)
			said[o.Test] = nil
		}
		switch {
		case strings.HasPrefix(o.Output, "=== "):
		case strings.HasPrefix(strings.TrimLeft(o.Output, " "), "--- FAIL: "): // go test's heading
			said[o.Test] = append([]string{o.Output}, said[o.Test]...)
		default:
			said[o.Test] = append(said[o.Test], o.Output)
		}
	}
	for _, name := range append(names, "") { // the package itself has the last word
		fmt.Fprint(r.out, strings.Join(said[name], ""))
	}
}

// reason is what a skipped test said.
func (p *result) reason(test string) string {
	var said []string
	for _, o := range p.output {
		s := strings.TrimSpace(o.Output)
		if o.Test == test && s != "" && !strings.HasPrefix(s, "=== ") && !strings.HasPrefix(s, "--- SKIP") {
			said = append(said, s)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

// close prints the end of the report, and says whether all is well.
func (r *report) close(noskip bool) bool {
	for name, p := range r.under { // go test itself was stopped
		r.end(event{Action: "fail", Package: name}, p)
		fmt.Fprintf(r.out, "FAIL\t%s [no result]\n", name)
	}
	if len(r.skipped) > 0 {
		fmt.Fprintf(r.out, "\nSkipped tests, and why:\n")
		for _, s := range r.skipped {
			fmt.Fprintf(r.out, "  %s\n", s)
		}
		if noskip {
			fmt.Fprintf(r.out, "That is a failure here: each must be able to run.\n")
		}
	}
	if r.passed+r.failed == 0 {
		fmt.Fprintf(r.out, "No test ran.\n")
	}
	fmt.Fprintf(r.out, "\ntests: %d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	return r.passed > 0 && r.failed == 0 && (len(r.skipped) == 0 || !noskip)
}
