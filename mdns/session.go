package mdns

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/time/rate"
)

// Times of RFC 6762.
const (
	probes    = 3                      // questions whether somebody has our names (section 8.1)
	probeTime = 250 * time.Millisecond // between them, and after the last
	deferTime = time.Second            // for who has to let another one go first (section 8.2)

	announcements = 2 // section 8.3
	announceTime  = time.Second

	// Answers that others have as well wait for a random time between these (section 6), and no record is sent to all more than once
	// in againTime, or probeAgainTime to who is about to take its name.
	answerMinTime  = 20 * time.Millisecond
	answerMaxTime  = 120 * time.Millisecond
	againTime      = time.Second
	probeAgainTime = 250 * time.Millisecond

	goodbyes    = 2
	goodbyeTime = 250 * time.Millisecond
)

// Answers to a single machine are at most so many in a second, and at once.
const (
	directRate  = 20
	directBurst = 40
)

// conn sends and receives for a session.
type conn interface {
	// send sends to a machine on the link, or to all with the zero address.
	send(l *link, to netip.AddrPort, message []byte) error
	// packets brings what arrives on the links, and is closed when nothing can arrive any more.
	packets() <-chan packet
	close()
}

// packet is a message that has arrived.
type packet struct {
	link    *link
	from    netip.AddrPort
	message *message
}

// session holds names on links, from finding out whether they are free on.
type session struct {
	conn        conn
	links       []*linkState
	own         map[netip.Addr]bool // addresses of this machine
	changed     func() bool         // whether the links are others now
	established func()              // called when the names are ours
	direct      *rate.Limiter

	step int       // how much was sent of probes and announcements
	next time.Time // when the next of them is
}

// linkState is what a session knows of a link.
type linkState struct {
	*link
	records []record
	sent    []time.Time // when each was sent to all

	wanted set       // the records of the next answer to all
	due    time.Time // when that is
}

func newSession(links []*link, n names, own map[netip.Addr]bool, c conn) *session {
	s := &session{conn: c, own: own, direct: rate.NewLimiter(directRate, directBurst)}
	for _, l := range links {
		records := newRecords(n, l)
		s.links = append(s.links, &linkState{link: l, records: records, sent: make([]time.Time, len(records))})
	}
	return s
}

// announced says whether the names were found to be free.
func (s *session) announced() bool { return s.step > probes }

// run holds the names until ctx ends, which it tells the others, or returns why it cannot.
func (s *session) run(ctx context.Context) error {
	look := time.NewTicker(lookTime)
	defer look.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	s.next = time.Now().Add(rand.N(probeTime)) // machines that start together do not all ask together
	for {
		timer.Reset(time.Until(s.nextTime()))
		select {
		case <-ctx.Done():
			s.goodbye()
			return ctx.Err()
		case p, ok := <-s.conn.packets():
			if !ok {
				return errSockets
			}
			if err := s.receive(&p); err != nil {
				return err
			}
		case <-timer.C:
			s.act(time.Now())
		case <-look.C:
			if s.changed() {
				return errChanged
			}
		}
	}
}

// never is later than all that is waited for.
const never = 24 * time.Hour

// nextTime is when there is something to send.
func (s *session) nextTime() time.Time {
	next := time.Now().Add(never)
	if !s.next.IsZero() {
		next = s.next
	}
	for _, l := range s.links {
		if l.wanted != 0 && l.due.Before(next) {
			next = l.due
		}
	}
	return next
}

// act sends what is due.
func (s *session) act(now time.Time) {
	if !s.next.IsZero() && !now.Before(s.next) {
		s.advance(now)
	}
	for _, l := range s.links {
		if l.wanted != 0 && !now.Before(l.due) {
			s.multicast(l, l.wanted, now)
			l.wanted = 0
		}
	}
}

// advance sends the next probe or announcement.
func (s *session) advance(now time.Time) {
	for _, l := range s.links {
		if s.step < probes {
			_ = s.conn.send(l.link, netip.AddrPort{}, newProbe(l.records)) // who is not there does not hear the others either
		} else {
			s.multicast(l, l.answers(), now)
		}
	}
	s.step++
	switch {
	case s.step <= probes:
		s.next = now.Add(probeTime)
	case s.step < probes+announcements:
		s.next = now.Add(announceTime)
	default:
		s.next = time.Time{}
	}
	if s.step == probes+1 {
		s.established()
	}
}

// multicast sends records to all on a link, with what belongs to them.
func (s *session) multicast(l *linkState, answers set, now time.Time) {
	var with set
	for i := range l.records {
		if answers.has(i) {
			with.add(l.records[i].with)
			l.sent[i] = now
		}
	}
	// That it did not get out is as if it got lost: who asked asks again.
	_ = s.conn.send(l.link, netip.AddrPort{}, newAnswer(l.records, answers, with&^answers))
}

// goodbye tells the others that the names are gone, so that nobody shows them any longer.
func (s *session) goodbye() {
	if !s.announced() {
		return
	}
	for i := range goodbyes {
		if i > 0 {
			time.Sleep(goodbyeTime) // in case the first was lost
		}
		for _, l := range s.links {
			_ = s.conn.send(l.link, netip.AddrPort{}, newGoodbye(l.records))
		}
	}
}

// receive takes in what somebody has sent.
func (s *session) receive(p *packet) error {
	i := slices.IndexFunc(s.links, func(l *linkState) bool { return l.link == p.link })
	l := s.links[i]
	if s.step == 0 {
		return nil // what was under way before we asked may be of somebody who is leaving (section 8.1)
	}
	if p.message.response {
		if s.conflicts(l, p.message.answers) {
			return errConflict
		}
		return nil
	}
	if !s.announced() {
		// Nobody is answered while the names are not ours. Who wants them just now may have to be let go first; then its announcement
		// will be the conflict.
		if s.loses(l, p.message.proposed) {
			s.step, s.next = 0, time.Now().Add(deferTime)
		}
		return nil
	}
	s.answer(l, p)
	return nil
}

// answer answers questions.
func (s *session) answer(l *linkState, p *packet) {
	questions := p.message.questions
	direct := p.from.Port() != port // a program that asks as in ordinary DNS, and gets an answer like that (section 6.7)
	if direct {
		questions = questions[:min(len(questions), 1)]
	}
	var answers set
	for i := range questions {
		answers.add(l.matching(&questions[i]))
	}
	for i := range l.records {
		if answers.has(i) && l.records[i].knownBy(p.message.answers) {
			answers &^= place(i)
		}
	}
	switch {
	case answers == 0:
	case !direct:
		s.answerAll(l, answers, len(p.message.proposed) > 0)
	case s.direct.Allow():
		_ = s.conn.send(l.link, p.from, newDirectAnswer(p.message.id, &questions[0], l.records, answers))
	}
}

// answerAll has records sent to all on a link, if they were not just now. Who probes is about to take the names of them.
func (s *session) answerAll(l *linkState, answers set, probe bool) {
	now := time.Now()
	again, wait := againTime, time.Duration(0)
	if probe {
		again = probeAgainTime
	}
	for i := range l.records {
		switch {
		case !answers.has(i):
		case !l.sent[i].IsZero() && now.Sub(l.sent[i]) < again:
			answers &^= place(i)
		case !l.records[i].unique:
			wait = answerMinTime + rand.N(answerMaxTime-answerMinTime)
		}
	}
	if answers == 0 {
		return
	}
	if due := now.Add(wait); l.wanted == 0 || due.Before(l.due) {
		l.due = due
	}
	l.wanted.add(answers)
}

// answers are all records but those that say what there is not.
func (l *linkState) answers() set {
	var all set
	for i := range l.records {
		if l.records[i].kind != typeNSEC {
			all |= place(i)
		}
	}
	return all
}

// matching are the records that answer a question. What we know not to be there is answered, too.
func (l *linkState) matching(q *question) set {
	var found, not set
	if q.class != dnsmessage.ClassINET && q.class != dnsmessage.ClassANY {
		return 0
	}
	for i := range l.records {
		r := &l.records[i]
		switch {
		case r.key != q.key:
		case r.kind == typeNSEC:
			not = place(i)
		case q.kind == r.kind || q.kind == dnsmessage.TypeALL:
			found |= place(i)
		}
	}
	if found == 0 || q.kind == typeNSEC {
		found |= not
	}
	return found
}

// knownBy says whether somebody knows a record who knows all these, and will for long enough (section 7.1).
func (r *record) knownBy(answers []heard) bool {
	return slices.ContainsFunc(answers, func(a heard) bool {
		return a.kind == r.kind && a.ttl >= r.ttl/2 && a.key == r.key && a.data == r.data
	})
}
