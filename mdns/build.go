package mdns

import "golang.org/x/net/dns/dnsmessage"

// builder makes a message of records.
type builder struct {
	dnsmessage.Builder
}

func newBuilder(header dnsmessage.Header) *builder {
	b := &builder{Builder: dnsmessage.NewBuilder(make([]byte, 0, 1500), header)}
	b.EnableCompression()
	return b
}

// add adds a record with a TTL in seconds, in any section but the questions.
func (b *builder) add(r *record, ttl uint32, flush bool) {
	header := dnsmessage.ResourceHeader{Name: r.name, Class: dnsmessage.ClassINET, TTL: ttl}
	if flush && r.unique {
		header.Class |= flushBit
	}
	// Errors are of names and texts that do not fit, which those of ours do.
	switch body := r.body.(type) {
	case *dnsmessage.AResource:
		_ = b.AResource(header, *body)
	case *dnsmessage.AAAAResource:
		_ = b.AAAAResource(header, *body)
	case *dnsmessage.PTRResource:
		_ = b.PTRResource(header, *body)
	case *dnsmessage.SRVResource:
		_ = b.SRVResource(header, *body)
	case *dnsmessage.TXTResource:
		_ = b.TXTResource(header, *body)
	case *dnsmessage.UnknownResource:
		_ = b.UnknownResource(header, *body)
	}
}

func (b *builder) finish() []byte {
	message, err := b.Finish()
	if err != nil {
		return nil
	}
	return message
}

// newProbe asks whether somebody has the names of the records, and says which those would be. The answer may go to all: one to
// us alone could go to another program of this machine that listens at the same port.
func newProbe(records []record) []byte {
	b := newBuilder(dnsmessage.Header{})
	_ = b.StartQuestions()
	for i := range records {
		r := &records[i]
		if r.unique && r.kind == typeNSEC { // each name has one
			_ = b.Question(dnsmessage.Question{Name: r.name, Type: dnsmessage.TypeALL, Class: dnsmessage.ClassINET})
		}
	}
	_ = b.StartAuthorities()
	for i := range records {
		if r := &records[i]; r.unique && r.kind != typeNSEC {
			b.add(r, r.ttl, false)
		}
	}
	return b.finish()
}

// newAnswer is for all on a link.
func newAnswer(records []record, answers, with set) []byte {
	b := newBuilder(dnsmessage.Header{Response: true, Authoritative: true})
	_ = b.StartAnswers()
	for i := range records {
		if answers.has(i) {
			b.add(&records[i], records[i].ttl, true)
		}
	}
	_ = b.StartAdditionals()
	for i := range records {
		if with.has(i) {
			b.add(&records[i], records[i].ttl, true)
		}
	}
	return b.finish()
}

// newDirectAnswer is for a program that has asked as in ordinary DNS.
func newDirectAnswer(id uint16, q *question, records []record, answers set) []byte {
	b := newBuilder(dnsmessage.Header{ID: id, Response: true, Authoritative: true})
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: q.name, Type: q.kind, Class: q.class})
	_ = b.StartAnswers()
	var with set
	for i := range records {
		if answers.has(i) {
			b.add(&records[i], min(records[i].ttl, legacyTTL), false)
			with.add(records[i].with)
		}
	}
	_ = b.StartAdditionals()
	for i := range records {
		if (with &^ answers).has(i) {
			b.add(&records[i], min(records[i].ttl, legacyTTL), false)
		}
	}
	return b.finish()
}

// newGoodbye takes back what was announced, but for the types of service, which others may have, too.
func newGoodbye(records []record) []byte {
	b := newBuilder(dnsmessage.Header{Response: true, Authoritative: true})
	_ = b.StartAnswers()
	for i := range records {
		if r := &records[i]; r.kind != typeNSEC && r.name.String() != typesName {
			b.add(r, 0, true)
		}
	}
	return b.finish()
}
