package nlm

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// The model keeps what each owner has on each byte, and its queue says everything twice. The last of
// its bytes stands for all that follow.
const (
	modelBytes  = 8
	modelOwners = 4
)

var modelNames = [modelOwners]string{"a1", "a2", "b1", "b2"}

const (
	free = iota
	shared
	exclusive
)

type modelRequest struct {
	owner, first, last, mode int
	granted, asleep          bool
	polls                    int
}

type model struct {
	held  [modelOwners][modelBytes]int
	queue []*modelRequest
}

// clash says whether two modes cannot be held at a time.
func clash(a, b int) bool { return a != free && b != free && (a == exclusive || b == exclusive) }

// blockers returns the owners in the way of r.
func (m *model) blockers(r *modelRequest) (owners []int) {
	for o := range modelOwners {
		in := false
		for b := r.first; b <= r.last; b++ {
			in = in || clash(m.held[o][b], r.mode)
		}
		for _, q := range m.queue {
			in = in || q.granted && q.owner == o && clash(q.mode, r.mode) && q.first <= r.last && r.first <= q.last
		}
		if in && o != r.owner {
			owners = append(owners, o)
		}
	}
	return owners
}

func (m *model) set(r *modelRequest, mode int) {
	for b := r.first; b <= r.last; b++ {
		m.held[r.owner][b] = mode
	}
}

func (m *model) remove(r *modelRequest) {
	m.queue = slices.DeleteFunc(m.queue, func(q *modelRequest) bool { return q == r })
}

func (m *model) accept(r *modelRequest) {
	m.remove(r)
	m.set(r, r.mode)
}

func (m *model) wake() {
	for _, q := range m.queue {
		if !q.granted && !q.asleep && len(m.blockers(q)) == 0 {
			q.granted = true
		}
	}
}

func (m *model) find(r *modelRequest) *modelRequest {
	for _, q := range m.queue {
		if q.owner == r.owner && q.first == r.first && q.last == r.last && q.mode == r.mode {
			return q
		}
	}
	return nil
}

// waitsFor says whether an owner waits for another one, over however many.
func (m *model) waitsFor(o, other int, seen map[int]bool) bool {
	if o == other {
		return true
	}
	if seen[o] {
		return false
	}
	seen[o] = true
	for _, q := range m.queue {
		if q.owner != o || q.granted || q.asleep {
			continue
		}
		for _, b := range m.blockers(q) {
			if m.waitsFor(b, other, seen) {
				return true
			}
		}
	}
	return false
}

func (m *model) lock(r *modelRequest, block bool) status {
	defer m.wake()
	if q := m.find(r); q != nil && (q.granted || block) {
		q.polls++
		if q.granted || q.asleep && len(m.blockers(q)) == 0 {
			m.accept(q)
			return granted
		}
		q.asleep = false
		return blocked
	}
	in := m.blockers(r)
	switch {
	case len(in) == 0:
		m.set(r, r.mode)
		return granted
	case !block:
		return denied
	}
	for _, o := range in {
		if m.waitsFor(o, r.owner, map[int]bool{}) {
			return deadlock
		}
	}
	m.queue = append(m.queue, r)
	return blocked
}

func (m *model) unlock(r *modelRequest) {
	for _, q := range slices.Clone(m.queue) {
		switch {
		case q.owner != r.owner:
		case q.granted && q.first <= r.last && r.first <= q.last:
			m.accept(q)
		case !q.granted && q.first == r.first && q.last == r.last:
			m.remove(q)
		}
	}
	m.set(r, free)
	m.wake()
}

func (m *model) freeHost(name string) {
	for o := range modelOwners {
		if modelNames[o][:1] == name {
			m.held[o] = [modelBytes]int{}
			m.queue = slices.DeleteFunc(m.queue, func(q *modelRequest) bool { return q.owner == o })
		}
	}
	m.wake()
}

// state writes the model down like state does the table.
func (m *model) state() string {
	tb := newTable()
	f := tb.file("file")
	for o := range modelOwners {
		for b := 0; b < modelBytes; {
			e := b
			for e+1 < modelBytes && m.held[o][e+1] == m.held[o][b] {
				e++
			}
			if mode := m.held[o][b]; mode != free {
				f.held = append(f.held, modelLock(&modelRequest{owner: o, first: b, last: e, mode: mode}))
			}
			b = e + 1
		}
	}
	for _, q := range m.queue {
		r := &request{lock: modelLock(q)}
		if q.granted {
			r.id = 1
		}
		f.queue = append(f.queue, r)
	}
	tb.files["file"] = f
	return state(tb)
}

func modelLock(r *modelRequest) lock {
	l := newLock(modelNames[r.owner], uint64(r.first), 1, r.mode == exclusive)
	if l.last = uint64(r.last); r.last == modelBytes-1 {
		l.last = math.MaxUint64
	}
	return l
}

// step does one thing to both, and returns what both say.
func (m *model) step(tb *table, op, what, where byte, now time.Time) (got, want string) {
	r := &modelRequest{owner: int(what) % modelOwners, mode: shared + int(what>>4)%2}
	r.first, r.last = int(where)%modelBytes, int(where>>4)%modelBytes
	if r.first > r.last {
		r.first, r.last = r.last, r.first
	}
	l := modelLock(r)
	switch op % 8 {
	case 0, 1, 2:
		block := op%8 > 0
		return fmt.Sprint("lock ", tb.lock("file", &request{lock: l}, block, now)), fmt.Sprint("lock ", m.lock(r, block))
	case 3:
		m.unlock(r)
		return fmt.Sprint("unlock ", tb.unlock("file", &l, now)), fmt.Sprint("unlock ", granted)
	case 4:
		_, found := tb.test("file", &l)
		return fmt.Sprint("test ", found), fmt.Sprint("test ", len(m.blockers(r)) > 0)
	case 5:
		q := m.find(r)
		if q != nil {
			m.remove(q)
			m.wake()
		}
		return fmt.Sprint("cancel ", tb.cancel("file", &l, now)), fmt.Sprint("cancel ", q != nil)
	case 6:
		m.acknowledge(tb, what, where%2 == 0, now)
		return "acknowledge", "acknowledge"
	}
	name := modelNames[r.owner][:1]
	tb.freeHost(ownerOf(modelNames[r.owner]).addr, name, 0, now)
	m.freeHost(name)
	return "free", "free"
}

// acknowledge answers the grant of one of the requests.
func (m *model) acknowledge(tb *table, which byte, accepted bool, now time.Time) {
	f := tb.file("file")
	if len(f.queue) == 0 {
		return
	}
	i := int(which) % len(f.queue)
	q, r := f.queue[i], m.queue[i]
	tb.acknowledge(q.id, q.addr, accepted, now)
	switch {
	case !r.granted:
		return
	case accepted:
		m.accept(r)
	case r.polls < poller:
		r.granted, r.asleep = false, true
	}
	m.wake()
}

// consistent says what is wrong with the accounts of a table.
func consistent(tb *table) error {
	entries, waiting, grants := 0, 0, 0
	for _, f := range tb.files {
		if f.entries != len(f.held)+len(f.queue)+len(f.shares) || f.entries == 0 {
			return fmt.Errorf("a file with %d entries: %d held, %d wait", f.entries, len(f.held), len(f.queue))
		}
		entries += f.entries
		waiting += len(f.queue)
		for _, q := range f.queue {
			if !slices.Contains(tb.requests[q.owner], q) || (q.id != 0) != (tb.granted[q.id] == q) {
				return fmt.Errorf("%+v is not where it should be", q)
			}
			if q.id != 0 {
				grants++
			}
		}
	}
	listed := 0
	for _, h := range tb.hosts {
		listed += h.entries
	}
	if tb.entries != entries || listed != entries || tb.waiting != waiting || len(tb.granted) != grants {
		return fmt.Errorf("%d entries are %d of files and %d of hosts; %d wait, %d, %d of them granted, %d",
			tb.entries, entries, listed, tb.waiting, waiting, len(tb.granted), grants)
	}
	return nil
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 0x10, 0x70, 1, 0x12, 0x70, 3, 0x00, 0x70, 6, 0, 0})
	f.Add([]byte{0, 0x10, 0x30, 0, 0x01, 0x74, 1, 0x10, 0x74, 1, 0x11, 0x30, 5, 0x10, 0x74, 7, 0, 0})
	f.Add([]byte{1, 0x10, 0x70, 1, 0x12, 0x70, 1, 0x13, 0x70, 3, 0x00, 0x33, 3, 0, 0x70, 6, 0, 1, 1, 0x12, 0x70})
	f.Fuzz(func(t *testing.T, ops []byte) {
		tb, m := newTable(), &model{}
		// So few that the search for circles, which looks at each request once, never reaches its limit.
		for i := 0; i+3 <= min(len(ops), 3*maxSteps); i += 3 {
			got, want := m.step(tb, ops[i], ops[i+1], ops[i+2], start)
			if got != want {
				t.Fatalf("step %d: %s, want %s", i/3, got, want)
			}
			if got, want := state(tb), m.state(); got != want {
				t.Fatalf("after step %d, %s:\n%q, want\n%q", i/3, got, got, want)
			}
			if err := consistent(tb); err != nil {
				t.Fatalf("after step %d: %v", i/3, err)
			}
		}
	})
}
