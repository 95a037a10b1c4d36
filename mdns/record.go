package mdns

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// What has to do with a host lives for two minutes, all else for 75 (RFC 6762, section 10).
	hostTTL  = 120
	otherTTL = 75 * 60

	// legacyTTL is how long records may live with those who ask as in ordinary DNS, and do not hear of changes (section 6.7).
	legacyTTL = 10

	// The top bit of a class is of a record that replaces others of its name, or of a question to be answered to whom it is from.
	flushBit = 1 << 15

	typeNSEC = dnsmessage.Type(47) // says which types a name has (RFC 4034, section 4)
)

// typesName is the name that all types of service are below (RFC 6763, section 9).
const typesName = "_services._dns-sd._udp." + domain

// record is one that we have.
type record struct {
	name   dnsmessage.Name
	key    string // name, for comparing
	kind   dnsmessage.Type
	ttl    uint32 // seconds
	unique bool   // nobody else has one of this name
	body   dnsmessage.ResourceBody
	data   string // of body, for comparing

	with set // what is sent along, as it will be asked for next
}

// set is of records of one link, by their places.
type set uint64

func place(i int) set        { return 1 << i }
func (s set) has(i int) bool { return s&place(i) != 0 }
func (s *set) add(other set) { *s |= other }

// newRecords returns the records of a link, at most 64: two links have the same, but for the addresses and services.
func newRecords(n names, l *link) []record {
	var all []record
	add := func(name string, ttl uint32, unique bool, body dnsmessage.ResourceBody) set {
		r := record{name: dnsmessage.MustNewName(name), key: key(name), kind: kind(body), ttl: ttl, unique: unique, body: body}
		r.data = data(body)
		all = append(all, r)
		return place(len(all) - 1)
	}
	var addrs set
	var types []dnsmessage.Type
	for _, addr := range l.addrs {
		var body dnsmessage.ResourceBody = &dnsmessage.AAAAResource{AAAA: addr.As16()}
		if addr.Is4() {
			body = &dnsmessage.AResource{A: addr.As4()}
		}
		types = append(types, kind(body))
		addrs.add(add(n.host, hostTTL, true, body))
	}
	addrs.add(add(n.host, hostTTL, true, nsec(n.host, types...)))
	for _, s := range l.services {
		service, instance := s.Type+"."+domain, n.instance+"."+s.Type+"."+domain
		ptr := add(service, otherTTL, false, &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(instance)})
		srv := add(instance, hostTTL, true, &dnsmessage.SRVResource{Port: s.Addr.Port(), Target: dnsmessage.MustNewName(n.host)})
		txt := add(instance, otherTTL, true, &dnsmessage.TXTResource{TXT: texts(s.Text)})
		add(instance, otherTTL, true, nsec(instance, dnsmessage.TypeTXT, dnsmessage.TypeSRV))
		add(typesName, otherTTL, false, &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(service)})
		all[bits.TrailingZeros64(uint64(ptr))].with = srv | txt | addrs
		all[bits.TrailingZeros64(uint64(srv))].with = addrs
	}
	return all
}

// texts returns those that a record may have, which has at least one (RFC 6763, section 6.1).
func texts(all []string) []string {
	fit := slices.DeleteFunc(slices.Clone(all), func(text string) bool { return len(text) > 255 })
	if len(fit) == 0 {
		return []string{""}
	}
	return fit
}

// nsec says that a name has these types, all below 256, and no others.
func nsec(name string, types ...dnsmessage.Type) *dnsmessage.UnknownResource {
	var next []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		next = append(append(next, byte(len(label))), label...)
	}
	var bitmap [32]byte
	used := 0
	for _, t := range types {
		bitmap[t/8] |= 0x80 >> (t % 8)
		used = max(used, int(t/8)+1)
	}
	rdata := append(next, 0, 0, byte(used)) // the end of the name, then block 0 and its length
	return &dnsmessage.UnknownResource{Type: typeNSEC, Data: append(rdata, bitmap[:used]...)}
}

// key is a name as it is compared (RFC 6762, section 16).
func key(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, name)
}

// kind is the type of a body.
func kind(body dnsmessage.ResourceBody) dnsmessage.Type {
	switch body := body.(type) {
	case *dnsmessage.AResource:
		return dnsmessage.TypeA
	case *dnsmessage.AAAAResource:
		return dnsmessage.TypeAAAA
	case *dnsmessage.PTRResource:
		return dnsmessage.TypePTR
	case *dnsmessage.SRVResource:
		return dnsmessage.TypeSRV
	case *dnsmessage.TXTResource:
		return dnsmessage.TypeTXT
	case *dnsmessage.UnknownResource:
		return body.Type
	default:
		return 0
	}
}

// data is the content of a record, so that two with the same have the same, and the order is that of its bytes.
func data(body dnsmessage.ResourceBody) string {
	switch body := body.(type) {
	case *dnsmessage.AResource:
		return string(body.A[:])
	case *dnsmessage.AAAAResource:
		return string(body.AAAA[:])
	case *dnsmessage.PTRResource:
		return key(body.PTR.String())
	case *dnsmessage.SRVResource:
		b := binary.BigEndian.AppendUint16(nil, body.Priority)
		b = binary.BigEndian.AppendUint16(b, body.Weight)
		b = binary.BigEndian.AppendUint16(b, body.Port)
		return string(b) + key(body.Target.String())
	case *dnsmessage.TXTResource:
		var b []byte
		for _, text := range body.TXT {
			b = append(append(b, byte(len(text))), text...)
		}
		return string(b)
	case *dnsmessage.UnknownResource:
		return string(body.Data)
	default:
		return ""
	}
}
