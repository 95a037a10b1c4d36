package mdns

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// fixtureLink is one with all kinds of records.
func fixtureLink() *link {
	return &link{
		name: "eth0", index: 2,
		addrs:    []netip.Addr{netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("fd00::2")},
		services: []Service{{Type: "_nfs._tcp", Text: []string{"path=/"}, Addr: netip.AddrPortFrom(netip.Addr{}, 2049)}, {Type: "_http._tcp"}},
	}
}

// TestParseOwn: what we send is read as what we have.
func TestParseOwn(t *testing.T) {
	l := &linkState{link: fixtureLink(), records: newRecords(newNames("nas", 1), fixtureLink())}
	m, err := parseMessage(newAnswer(l.records, l.answers(), 0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range l.records {
		if r := &l.records[i]; r.kind != typeNSEC && !r.knownBy(m.answers) {
			t.Errorf("%s %v is not among %+v", r.key, r.kind, m.answers)
		}
	}
	if m, err = parseMessage(newProbe(l.records)); err != nil || len(m.questions) != 3 || len(m.proposed) != 6 {
		t.Errorf("a probe is %+v, %v", m, err)
	}
}

// TestParseOthers: a name with a dot in a label, which the parser refuses, hides nothing of the rest.
func TestParseOthers(t *testing.T) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{})
	name := func(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }
	_ = b.StartQuestions()
	for _, n := range []string{"v1x2._ipp._tcp.local.", "_nfs._tcp.local."} {
		_ = b.Question(dnsmessage.Question{Name: name(n), Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET | flushBit})
	}
	_ = b.StartAnswers()
	for _, n := range []string{"v1x2._nfs._tcp.local.", "shoal on nas._nfs._tcp.local."} {
		_ = b.PTRResource(dnsmessage.ResourceHeader{Name: name("_nfs._tcp.local."), Class: dnsmessage.ClassINET, TTL: 4500},
			dnsmessage.PTRResource{PTR: name(n)})
	}
	wire, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(wire) - 4 {
		if string(wire[i:i+4]) == "v1x2" {
			wire[i+2] = '.'
		}
	}
	m, err := parseMessage(wire)
	if err != nil {
		t.Fatal(err)
	}
	want := []question{{name: name("_nfs._tcp.local."), key: "_nfs._tcp.local.", kind: dnsmessage.TypePTR, class: dnsmessage.ClassINET}}
	if !slices.Equal(m.questions, want) {
		t.Errorf("the questions are %+v, want %+v", m.questions, want)
	}
	if len(m.answers) != 2 || m.answers[0].data != unreadable || m.answers[1].data != "shoal on nas._nfs._tcp.local." {
		t.Errorf("the answers are %+v", m.answers)
	}
}

func TestCompareRecords(t *testing.T) {
	a := []heard{{kind: dnsmessage.TypeA, data: "\x0a\x00\x00\x01"}}
	b := []heard{{kind: dnsmessage.TypeA, data: "\x0a\x00\x00\xff"}}
	more := append(slices.Clone(a), heard{kind: dnsmessage.TypeAAAA, data: "x"})
	tests := []struct {
		what string
		a, b []heard
		want int
	}{
		{"the same", a, a, 0},
		{"bytes are unsigned", a, b, -1},
		{"more records are later", a, more, -1},
		{"the first difference counts", more, b, -1},
		{"in any order", []heard{more[1], more[0]}, more, 0},
	}
	for _, test := range tests {
		if got := compareRecords(test.a, test.b); got != test.want {
			t.Errorf("%s: %d, want %d", test.what, got, test.want)
		}
		if got := compareRecords(test.b, test.a); got != -test.want {
			t.Errorf("%s, the other way: %d, want %d", test.what, got, -test.want)
		}
	}
}

// FuzzMessage: whatever arrives is read within limits, and answered with messages that can be read.
func FuzzMessage(f *testing.F) {
	l := &linkState{link: fixtureLink(), records: newRecords(newNames("nas", 1), fixtureLink())}
	f.Add(newProbe(l.records))
	f.Add(newAnswer(l.records, l.answers(), l.records[0].with))
	f.Add(newGoodbye(l.records))
	f.Add([]byte("\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xc0\x0c\x00\x0c\x00\x01"))
	s := newSession([]*link{l.link}, newNames("nas", 1), nil, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err != nil {
			return
		}
		if len(m.questions) > maxQuestions || len(m.answers) > maxRecords || len(m.proposed) > maxRecords {
			t.Fatalf("%d questions, %d answers, %d proposed", len(m.questions), len(m.answers), len(m.proposed))
		}
		s.conflicts(l, m.answers)
		s.loses(l, m.proposed)
		for i := range m.questions {
			q := &m.questions[i]
			if answers := l.matching(q); answers != 0 {
				for _, answer := range [][]byte{newAnswer(l.records, answers, 0), newDirectAnswer(m.id, q, l.records, answers)} {
					if _, err := parseMessage(answer); err != nil {
						t.Fatalf("the answer to %+v is %q: %v", q, answer, err)
					}
				}
			}
		}
	})
}
