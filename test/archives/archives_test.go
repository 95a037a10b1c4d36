//go:build linux

package archives

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/test/debian"
)

// What a process that reads one archive may take. Of the addresses Go's runtime reserves 686 MiB as it starts, so that about 340 MiB are
// left for all that is read and decoded.
const (
	addressSpace = 1 << 30 // bytes
	processor    = 20 * time.Second
	patience     = 3 * processor // on a clock, as the machine may have other things to do
)

// TestFixtures reads every archive of the corpus, and compares all that is in it with what other programs find there. What Shoal refuses
// is in the list refused, with the reason; where it is alone with its opinion, that is in the list alone.
func TestFixtures(t *testing.T) {
	debian.Install(t, "libarchive-tools", "unzip", "unar", "bzip2", "xz-utils", "zstd", "util-linux")
	r := &reading{lister: build(t), corpus: collect(t), work: t.TempDir(), met: make(map[string]bool), counts: make(map[string]int)}
	turn := make(chan struct{}, 2)
	var all sync.WaitGroup
	for _, name := range r.corpus.archives {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			if err := r.check(t.Context(), name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()
	for _, list := range []map[string]exception{refused, alone} {
		for name := range list {
			if !r.met[name] {
				t.Errorf("%s is on a list of exceptions, and is none, or not there", name)
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(r.counts)) {
		t.Logf("%3d %s", r.counts[what], what)
	}
	t.Logf("left out, as Shoal does not show them: %v", r.corpus.skipped)
	r.reportCosts(t)
}

// reading is one run over the corpus.
type reading struct {
	lister string // the command
	corpus *corpus
	work   string

	mu     sync.Mutex
	met    map[string]bool // exceptions that were
	counts map[string]int  // of archives, by what became of them
	costs  []cost
}

// cost is what reading an archive took.
type cost struct {
	name                string
	cpu                 time.Duration
	resident, addresses int64 // in bytes, at most
}

func (r *reading) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

// except says whether a fixture is on a list, for what it is found to be.
func (r *reading) except(list map[string]exception, name, found string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := list[name]
	ok = ok && slices.ContainsFunc(strings.Split(e.says, "|"), func(s string) bool { return strings.Contains(found, s) })
	if ok {
		r.met[name] = true
	}
	return ok
}

// check reads one archive.
func (r *reading) check(ctx context.Context, name string) error {
	work, err := os.MkdirTemp(r.work, "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // all of it goes when the test ends
	archive := filepath.Join(r.corpus.root, name)
	got, err := r.run(ctx, name, filepath.Join(work, "shoal"))
	switch {
	case err != nil:
		return err
	case got.Refused != "":
		r.count("refused")
		if !r.except(refused, name, got.Refused) {
			return fmt.Errorf("refused: %s", got.Refused)
		}
		return nil
	}
	var unread error
	for _, m := range got.Members {
		if m.Refused != "" && !r.except(refused, name, m.Refused) {
			unread = errors.Join(unread, fmt.Errorf("%q is refused: %s", m.Path, m.Refused))
		}
	}
	if path.Ext(name) == ".001" {
		if archive, err = join(archive, work); err != nil {
			return err
		}
	}
	who, disagreement := ask(ctx, got, archive, work)
	switch {
	case disagreement != "" && r.except(alone, name, disagreement):
		r.count("alone with its opinion")
	case disagreement != "":
		return errors.Join(unread, errors.New(disagreement))
	default:
		r.count("as " + who + " has it")
	}
	return unread
}

// join puts the parts of a file that was cut together again.
func join(first, work string) (whole string, err error) {
	stem := strings.TrimSuffix(first, ".001")
	whole = filepath.Join(work, filepath.Base(stem))
	var all []byte
	for n := 1; ; n++ {
		b, err := os.ReadFile(fmt.Sprintf("%s.%03d", stem, n))
		if errors.Is(err, os.ErrNotExist) {
			return whole, os.WriteFile(whole, all, 0o600)
		}
		if err != nil {
			return "", err
		}
		all = append(all, b...)
	}
}

// ask asks the oracles for what is in an archive, and returns which of them agrees in everything but times, or why none does. Times, and
// who is a program, need only be as one of all has them.
func ask(ctx context.Context, got *Listing, archive, work string) (who, disagreement string) {
	dated, modes := make(map[string]bool), make(map[string]bool)
	var said []string
	for _, o := range oraclesOf(archive) {
		folder := filepath.Join(work, filepath.Base(o.name))
		if err := os.Mkdir(folder, 0o700); err != nil {
			return "", err.Error()
		}
		asking, cancel := context.WithTimeout(ctx, patience)
		list, complaint := o.read(asking, archive, folder)
		cancel()
		want, err := expect(list)
		if err != nil {
			return "", err.Error()
		}
		opinion := compare(got, want)
		for path, same := range opinion.dated {
			dated[path] = dated[path] || same
		}
		for path, same := range opinion.modes {
			modes[path] = modes[path] || same || !o.modes
		}
		if n := len(opinion.differs); n > 0 {
			said = append(said, fmt.Sprintf("%s: %d times %q (%.200v)", o.name, n, opinion.differs[:min(n, 5)], complaint))
		} else if who == "" {
			who = o.name
		}
		if who != "" && !slices.Contains(slices.Collect(maps.Values(dated)), false) &&
			!slices.Contains(slices.Collect(maps.Values(modes)), false) {
			return who, ""
		}
	}
	if who == "" {
		return "", "nobody agrees: " + strings.Join(said, "; ")
	}
	for _, m := range got.Members {
		if same, known := dated[m.Path]; known && !same {
			return "", fmt.Sprintf("nobody has the time of %q: %v", m.Path, m.ModTime)
		}
		if same, known := modes[m.Path]; known && !same {
			return "", fmt.Sprintf("for nobody %q is a program: %t", m.Path, m.Run)
		}
	}
	return who, ""
}

// build makes the command that reads one archive.
func build(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", name, "shoal/test/archives/list")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return name
}

// run reads an archive in a process of its own.
func (r *reading) run(ctx context.Context, name, work string) (*Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	limits := []string{fmt.Sprintf("--as=%d", addressSpace), fmt.Sprintf("--cpu=%d", int(processor.Seconds())), "--core=0", "--"}
	cmd := exec.CommandContext(ctx, "prlimit", append(limits, r.lister, filepath.Join(r.corpus.root, name), work)...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("%w: %.800s", err, strings.TrimSpace(complaint.String())))
	}
	c := cost{name: name, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	var l Listing
	if err := json.Unmarshal(out.Bytes(), &l); err != nil {
		return nil, err
	}
	c.resident, c.addresses = l.Resident, l.Addresses
	r.mu.Lock()
	r.costs = append(r.costs, c)
	r.mu.Unlock()
	return &l, nil
}

// reportCosts tells the largest.
func (r *reading) reportCosts(t *testing.T) {
	t.Helper()
	slices.SortFunc(r.costs, func(a, b cost) int { return cmp.Compare(b.resident, a.resident) })
	for _, c := range r.costs[:min(3, len(r.costs))] {
		t.Logf("%4d MiB of memory, %d MiB of addresses for %s", c.resident>>20, c.addresses>>20, c.name)
	}
	slices.SortFunc(r.costs, func(a, b cost) int { return cmp.Compare(b.cpu, a.cpu) })
	for _, c := range r.costs[:min(3, len(r.costs))] {
		t.Logf("%4.1f s of CPU for %s", c.cpu.Seconds(), c.name)
	}
}
