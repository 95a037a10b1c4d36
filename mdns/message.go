package mdns

import (
	"errors"
	"fmt"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxMessage is the longest message there is (RFC 6762, section 17).
	maxMessage = 9000

	// Of a message so many questions and records are looked at; those of honest programs have fewer.
	maxQuestions = 64
	maxRecords   = 256
)

var errMessage = errors.New("not a message of multicast DNS")

// message is one that somebody has sent.
type message struct {
	id        uint16
	response  bool
	questions []question
	answers   []heard // in a question: what its sender knows already
	proposed  []heard // in a question: what its sender would like to have
}

type question struct {
	name dnsmessage.Name
	key  string
	kind dnsmessage.Type
	// class is without the top bit.
	class dnsmessage.Class
}

// heard is a record of somebody.
type heard struct {
	key  string
	kind dnsmessage.Type
	ttl  uint32 // seconds
	data string // as data returns it; differs from all of ours if it could not be read
}

// parseMessage reads a message, and keeps nothing of b. Records that it cannot read, as names may have dots inside of labels, are left out, or different
// from all others.
func parseMessage(b []byte) (*message, error) {
	var p dnsmessage.Parser
	header, err := p.Start(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	if header.OpCode != 0 || header.RCode != 0 {
		return nil, errMessage
	}
	m := &message{id: header.ID, response: header.Response}
	if m.questions, err = parseQuestions(&p); err != nil {
		return nil, err
	}
	parser := (*dnsmessage.Parser).AnswerHeader
	if m.answers, err = parseRecords(&p, parser, (*dnsmessage.Parser).SkipAnswer); err != nil {
		return nil, err
	}
	if !m.response {
		parser = (*dnsmessage.Parser).AuthorityHeader
		if m.proposed, err = parseRecords(&p, parser, (*dnsmessage.Parser).SkipAuthority); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func parseQuestions(p *dnsmessage.Parser) ([]question, error) {
	var all []question
	for range maxQuestions {
		q, err := p.Question()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return all, nil
		}
		if err != nil {
			if p.SkipQuestion() != nil {
				return nil, fmt.Errorf("%w: %w", errMessage, err)
			}
			continue
		}
		all = append(all, question{name: q.Name, key: key(q.Name.String()), kind: q.Type, class: q.Class &^ flushBit})
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	return all, nil
}

// parseRecords reads a section, with the two functions for it.
func parseRecords(
	p *dnsmessage.Parser, next func(*dnsmessage.Parser) (dnsmessage.ResourceHeader, error), skip func(*dnsmessage.Parser) error,
) ([]heard, error) {
	var all []heard
	for {
		look := *p // as it does not go on after a record that it cannot read
		header, err := next(&look)
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			*p = look
			return all, nil
		}
		if err == nil && header.Class&^flushBit == dnsmessage.ClassINET && len(all) < maxRecords {
			all = append(all, heard{key(header.Name.String()), header.Type, header.TTL, parseData(&look, header.Type)})
		}
		if err := skip(p); err != nil {
			return nil, fmt.Errorf("%w: %w", errMessage, err)
		}
	}
}

// unreadable is the data of a record that could not be read. None of ours has it.
const unreadable = "?"

// parseData reads the record that p has read the header of.
func parseData(p *dnsmessage.Parser, kind dnsmessage.Type) string {
	var body dnsmessage.ResourceBody
	var err error
	switch kind {
	case dnsmessage.TypeA:
		var r dnsmessage.AResource
		r, err = p.AResource()
		body = &r
	case dnsmessage.TypeAAAA:
		var r dnsmessage.AAAAResource
		r, err = p.AAAAResource()
		body = &r
	case dnsmessage.TypePTR:
		var r dnsmessage.PTRResource
		r, err = p.PTRResource()
		body = &r
	case dnsmessage.TypeSRV:
		var r dnsmessage.SRVResource
		r, err = p.SRVResource()
		body = &r
	case dnsmessage.TypeTXT:
		var r dnsmessage.TXTResource
		r, err = p.TXTResource()
		body = &r
	default:
		return unreadable // and of no interest
	}
	if err != nil {
		return unreadable
	}
	return data(body)
}
