package mdns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a network with one link for each machine on it. Nothing gets lost, and who sends hears himself, as with sockets.
type wire struct {
	mu   sync.Mutex
	all  []*plug
	sent []sent
}

// sent is a message that somebody has sent.
type sent struct {
	at      time.Time
	from    *plug
	to      netip.AddrPort // zero for all
	message dnsmessage.Message
}

// plug is a machine's end of the wire.
type plug struct {
	wire *wire
	link *link
	addr netip.Addr
	ch   chan packet
	done chan struct{}
}

func (p *plug) send(_ *link, to netip.AddrPort, b []byte) error {
	p.wire.put(p, to, netip.AddrPortFrom(p.addr, port), b)
	return nil
}

// put brings a message to all who may be waiting for it, or drops it.
func (w *wire) put(from *plug, to, sender netip.AddrPort, b []byte) {
	m, err := parseMessage(b)
	if err != nil {
		panic(err)
	}
	s := sent{at: time.Now(), from: from, to: to}
	if err := s.message.Unpack(b); err != nil {
		panic(err)
	}
	w.mu.Lock()
	w.sent = append(w.sent, s)
	all := slices.Clone(w.all)
	w.mu.Unlock()
	if to.IsValid() {
		return
	}
	for _, p := range all {
		select {
		case p.ch <- packet{p.link, sender, m}:
		case <-p.done:
		default:
		}
	}
}

func (p *plug) packets() <-chan packet { return p.ch }

func (p *plug) close() {
	close(p.done)
	p.wire.mu.Lock()
	p.wire.all = slices.DeleteFunc(p.wire.all, func(other *plug) bool { return other == p })
	p.wire.mu.Unlock()
}

// take returns what was sent since the last call.
func (w *wire) take() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.sent
	w.sent = nil
	return taken
}

// machine is a responder on a wire.
type machine struct {
	*Responder
	stop  func() // and wait
	addrs *[]string
	mu    *sync.Mutex
}

// newMachine starts a responder that is on the wire with an interface eth0.
func newMachine(t *testing.T, w *wire, host string, nfsPort uint16, addrs ...string) *machine {
	t.Helper()
	m := &machine{addrs: &addrs, mu: &sync.Mutex{}}
	m.Responder = New(Options{
		Machine: host, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Services: []Service{
			{Type: "_nfs._tcp", Text: []string{"path=/"}, Addr: netip.AddrPortFrom(netip.Addr{}, nfsPort)},
			{Type: "_http._tcp", Text: []string{"path=/"}, Addr: netip.AddrPortFrom(netip.Addr{}, 4444)},
		},
	})
	m.interfaces = func() ([]networkInterface, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return []networkInterface{newInterface("eth0", 2, net.FlagUp|net.FlagMulticast, *m.addrs...)}, nil
	}
	m.open = func(links []*link) (conn, error) {
		p := &plug{w, links[0], links[0].networks[0].Addr(), make(chan packet, 100), make(chan struct{})}
		w.mu.Lock()
		w.all = append(w.all, p)
		w.mu.Unlock()
		return p, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	m.stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(m.stop)
	return m
}

func newInterface(name string, index int, flags net.Flags, addrs ...string) networkInterface {
	n := networkInterface{Interface: net.Interface{Name: name, Index: index, Flags: flags}}
	for _, a := range addrs {
		n.prefixes = append(n.prefixes, netip.MustParsePrefix(a))
	}
	return n
}

// settle is longer than a responder needs to take a name, or to try another one.
const settle = 10 * time.Second

// ask sends a question to all, and returns what was sent in the next two seconds.
func (w *wire) ask(from string, name string, kind dnsmessage.Type, known ...dnsmessage.Resource) []sent {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
		Answers:   known,
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	w.take()
	w.put(nil, netip.AddrPort{}, netip.MustParseAddrPort(from), b)
	time.Sleep(2 * time.Second)
	return w.take()[1:]
}

const (
	asker  = "192.168.1.9:5353"
	legacy = "192.168.1.9:50000"
)

// texts are records in short, as "name type data ttl", with ! behind for those that replace others.
func recordTexts(all []dnsmessage.Resource) []string {
	var list []string
	for _, r := range all {
		text := ""
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			text = "A " + netip.AddrFrom4(body.A).String()
		case *dnsmessage.AAAAResource:
			text = "AAAA " + netip.AddrFrom16(body.AAAA).String()
		case *dnsmessage.PTRResource:
			text = "PTR " + body.PTR.String()
		case *dnsmessage.SRVResource:
			text = "SRV " + strconv.Itoa(int(body.Port)) + " " + body.Target.String()
		case *dnsmessage.TXTResource:
			text = "TXT " + strings.Join(body.TXT, ",")
		case *dnsmessage.UnknownResource:
			text = "NSEC"
		}
		end := ""
		if r.Header.Class&flushBit != 0 {
			end = "!"
		}
		list = append(list, r.Header.Name.String()+" "+text+" "+(time.Duration(r.Header.TTL)*time.Second).String()+end)
	}
	slices.Sort(list)
	return list
}

func TestAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		start := time.Now()
		m := newMachine(t, w, "NAS.example.org", 2049, "192.168.1.2/24")
		time.Sleep(settle)
		got := w.take()
		if len(got) != probes+announcements {
			t.Fatalf("%d messages to begin with, want %d: %+v", len(got), probes+announcements, got)
		}
		if d := got[0].at.Sub(start); d > probeTime {
			t.Errorf("it asks first after %v", d)
		}
		for i, s := range got[:probes] {
			if s.message.Response || len(s.message.Questions) != 3 || len(s.message.Authorities) != 5 {
				t.Errorf("probe %d is %+v", i, s.message)
			}
			if i > 0 && s.at.Sub(got[i-1].at) != probeTime {
				t.Errorf("probe %d comes %v after the one before", i, s.at.Sub(got[i-1].at))
			}
		}
		want := []string{
			"Shoal on NAS._http._tcp.local. SRV 4444 shoal-nas.local. 2m0s!",
			"Shoal on NAS._nfs._tcp.local. SRV 2049 shoal-nas.local. 2m0s!",
			"Shoal on NAS._http._tcp.local. TXT path=/ 1h15m0s!",
			"Shoal on NAS._nfs._tcp.local. TXT path=/ 1h15m0s!",
			"_http._tcp.local. PTR Shoal on NAS._http._tcp.local. 1h15m0s",
			"_nfs._tcp.local. PTR Shoal on NAS._nfs._tcp.local. 1h15m0s",
			"_services._dns-sd._udp.local. PTR _http._tcp.local. 1h15m0s",
			"_services._dns-sd._udp.local. PTR _nfs._tcp.local. 1h15m0s",
			"shoal-nas.local. A 192.168.1.2 2m0s!",
		}
		slices.Sort(want)
		for _, s := range got[probes:] {
			if texts := recordTexts(s.message.Answers); !slices.Equal(texts, want) || !s.message.Response || !s.message.Authoritative {
				t.Errorf("announced is\n%s\nwant\n%s", strings.Join(texts, "\n"), strings.Join(want, "\n"))
			}
		}
		begin := time.Now()
		m.stop()
		got = w.take()
		if d := time.Since(begin); d > time.Second || len(got) != goodbyes {
			t.Fatalf("it stops within %v, with %d messages", d, len(got))
		}
		for _, r := range got[0].message.Answers {
			if r.Header.TTL != 0 {
				t.Errorf("the goodbye has %v", r)
			}
		}
		if n := len(got[0].message.Answers); n != len(want)-2 {
			t.Errorf("the goodbye has %d records, want %d", n, len(want)-2)
		}
	})
}

// rest waits until a responder has announced itself and may send everything again.
func (w *wire) rest() {
	time.Sleep(settle)
	w.take()
}

func TestAnswer(t *testing.T) {
	const instance = "Shoal on nas._nfs._tcp.local."
	tests := []struct {
		what, name string
		from       string
		kind       dnsmessage.Type
		want       []string // answers; none is no message
		with       []string // additionals
	}{
		{
			"a type of service", "_nfs._tcp.local.", asker, dnsmessage.TypePTR,
			[]string{"_nfs._tcp.local. PTR Shoal on nas._nfs._tcp.local. 1h15m0s"},
			[]string{
				"Shoal on nas._nfs._tcp.local. SRV 2049 shoal-nas.local. 2m0s!", "Shoal on nas._nfs._tcp.local. TXT path=/ 1h15m0s!",
				"shoal-nas.local. A 192.168.1.2 2m0s!", "shoal-nas.local. NSEC 2m0s!",
			},
		},
		{
			"all types", "_services._dns-sd._udp.local.", asker, dnsmessage.TypePTR, []string{
				"_services._dns-sd._udp.local. PTR _http._tcp.local. 1h15m0s", "_services._dns-sd._udp.local. PTR _nfs._tcp.local. 1h15m0s",
			}, nil,
		},
		{
			"an instance, in capitals", strings.ToUpper(instance), asker, dnsmessage.TypeTXT,
			[]string{instance + " TXT path=/ 1h15m0s!"},
			nil,
		},
		{
			"what there is not", "shoal-nas.local.", asker, dnsmessage.TypeAAAA, []string{"shoal-nas.local. NSEC 2m0s!"}, nil,
		},
		{
			"ordinary DNS", "shoal-nas.local.", legacy, dnsmessage.TypeA, []string{"shoal-nas.local. A 192.168.1.2 10s"}, nil,
		},
		{"somebody else", "nas.local.", asker, dnsmessage.TypeALL, nil, nil},
		{"somebody else, ordinary DNS", "nas.local.", legacy, dnsmessage.TypeA, nil, nil},
	}
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		newMachine(t, w, "nas", 2049, "192.168.1.2/24")
		w.rest()
		for _, test := range tests {
			got := w.ask(test.from, test.name, test.kind)
			if len(got) != min(len(test.want), 1) {
				t.Errorf("%s: %d messages are sent", test.what, len(got))
				continue
			}
			if test.want == nil {
				continue
			}
			m := &got[0].message
			answers, with := recordTexts(m.Answers), recordTexts(m.Additionals)
			if !slices.Equal(answers, test.want) || !slices.Equal(with, test.with) {
				t.Errorf("%s: the answer is\n%q\nwith\n%q", test.what, answers, with)
			}
			if direct := test.from == legacy; direct != got[0].to.IsValid() || direct != (m.ID == 7) || direct != (len(m.Questions) == 1) {
				t.Errorf("%s: the answer to %v is %v", test.what, got[0].to, m.GoString())
			}
		}
	})
}

// TestFew: what somebody knows, or was told a moment ago, is not sent, and a flood of questions gets few answers.
func TestFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		newMachine(t, w, "nas", 2049, "192.168.1.2/24")
		w.rest()
		known := dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("_nfs._tcp.local."), Class: dnsmessage.ClassINET, TTL: otherTTL / 2},
			Body:   &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("shoal on nas._nfs._tcp.local.")},
		}
		if got := w.ask(asker, "_nfs._tcp.local.", dnsmessage.TypePTR, known); len(got) != 0 {
			t.Errorf("who knows is told %+v", got)
		}
		known.Header.TTL--
		if got := w.ask(asker, "_nfs._tcp.local.", dnsmessage.TypePTR, known); len(got) != 1 {
			t.Errorf("who soon does not know any more is told %+v", got)
		}
		for from, limit := range map[string]int{asker: 10, legacy: directBurst + 3*directRate} {
			var question dnsmessage.Message
			for range 200 {
				question.Questions = append(question.Questions,
					dnsmessage.Question{Name: dnsmessage.MustNewName("_nfs._tcp.local."), Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET})
			}
			b, err := question.Pack()
			if err != nil {
				t.Fatal(err)
			}
			for range 200 {
				w.put(nil, netip.AddrPort{}, netip.MustParseAddrPort(from), b)
				synctest.Wait()
			}
			time.Sleep(2 * time.Second)
			if got := len(w.take()) - 200; got < 1 || got > limit {
				t.Errorf("200 messages with 200 questions each from %s get %d answers, want 1 to %d", from, got, limit)
			}
		}
	})
}

// TestConflict: two machines that are called the same get names of their own, whoever comes first, and keep them.
func TestConflict(t *testing.T) {
	for name, delay := range map[string]time.Duration{"at once": 0, "one after the other": settle} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{}
				newMachine(t, w, "nas", 2049, "192.168.1.2/24")
				time.Sleep(delay)
				newMachine(t, w, "nas", 2049, "192.168.1.3/24")
				time.Sleep(3 * settle)
				got := w.ask(asker, "_nfs._tcp.local.", dnsmessage.TypePTR)
				var answers []string
				for _, s := range got {
					answers = append(answers, recordTexts(s.message.Answers)...)
				}
				slices.Sort(answers)
				want := []string{
					"_nfs._tcp.local. PTR Shoal on nas (2)._nfs._tcp.local. 1h15m0s", "_nfs._tcp.local. PTR Shoal on nas._nfs._tcp.local. 1h15m0s",
				}
				if !slices.Equal(answers, want) {
					t.Fatalf("the machines are found as %q", answers)
				}
				hosts := make(map[string]int)
				for _, host := range []string{"shoal-nas.local.", "shoal-nas-2.local."} {
					for _, s := range w.ask(asker, host, dnsmessage.TypeA) {
						hosts[strings.Join(recordTexts(s.message.Answers), ",")]++
					}
				}
				if len(hosts) != 2 {
					t.Errorf("the names of the hosts are %v", hosts)
				}
				time.Sleep(time.Hour)
				if got := w.take(); len(got) != 0 {
					t.Errorf("in an hour, %d messages are sent", len(got))
				}
			})
		})
	}
}

// TestTakenLater: two networks are joined whose machines have the same name. And an enemy takes each name: then it asks seldom.
func TestTakenLater(t *testing.T) {
	enemy := func(w *wire, name string) {
		m := dnsmessage.Message{
			Header: dnsmessage.Header{Response: true},
			Answers: []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET | flushBit, TTL: hostTTL},
				Body:   &dnsmessage.AResource{A: [4]byte{192, 168, 1, 66}},
			}},
		}
		b, err := m.Pack()
		if err != nil {
			panic(err)
		}
		w.put(nil, netip.AddrPort{}, netip.MustParseAddrPort("192.168.1.66:5353"), b)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		newMachine(t, w, "nas", 2049, "192.168.1.2/24")
		w.rest()
		enemy(w, "SHOAL-nas.local.")
		synctest.Wait()
		w.take()
		time.Sleep(settle)
		got := w.take()
		if len(got) != probes+announcements || got[0].message.Questions[0].Name.String() != "shoal-nas.local." {
			t.Errorf("after a conflict that is no more, %d messages are sent, the first %+v", len(got), got)
		}
		taken := 0
		enemy(w, "shoal-nas.local.")
		for tenth := range 2 * 36000 {
			time.Sleep(time.Second / 10)
			for _, s := range w.take() {
				if s.from != nil && !s.message.Response {
					enemy(w, s.message.Questions[0].Name.String())
					if tenth >= 36000 {
						taken++
					}
				}
			}
			synctest.Wait()
		}
		if taken == 0 || taken > probes*60*2 {
			t.Errorf("it asks %d times in the second hour in which each name is taken", taken)
		}
	})
}

// TestChange: a new address is told within seconds, and nothing of an interface without one.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		m := newMachine(t, w, "nas", 2049, "192.168.1.2/24")
		w.rest()
		change := func(addrs ...string) {
			m.mu.Lock()
			defer m.mu.Unlock()
			*m.addrs = addrs
		}
		change("192.168.1.77/24")
		time.Sleep(lookTime + settle)
		got := w.ask(asker, "shoal-nas.local.", dnsmessage.TypeA)
		if len(got) != 1 || recordTexts(got[0].message.Answers)[0] != "shoal-nas.local. A 192.168.1.77 2m0s!" {
			t.Errorf("with a new address the answer is %+v", got)
		}
		change()
		time.Sleep(lookTime + settle)
		w.take()
		if got := w.ask(asker, "shoal-nas.local.", dnsmessage.TypeA); len(got) != 0 {
			t.Errorf("without an address the answer is %+v", got)
		}
		change("192.168.1.2/24")
		time.Sleep(lookTime + settle)
		if got := w.ask(asker, "shoal-nas.local.", dnsmessage.TypeA); len(got) != 1 {
			t.Errorf("when the address is back the answer is %+v", got)
		}
	})
}
