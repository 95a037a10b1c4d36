package blocklist

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxRanges is how many ranges a list may have once they are merged: 32 MiB of them. The largest in
	// use have some 300,000.
	maxRanges = 1 << 20
	// maxBytes is how long a list may be when it is decompressed.
	maxBytes = 512 << 20
	// maxLine is how long a line may be, in bytes.
	maxLine = 64 << 10
	// From blockBelow on, the access level in an eMule list means that an address is allowed.
	blockBelow = 128
)

// Parse reads a list, plain or compressed with gzip, of lines that are each one of
//
//	name:1.2.3.0-1.2.3.255                        PeerGuardian's text, called P2P
//	001.002.003.000 - 001.002.003.255 , 000 , name  eMule's ipfilter.dat; from level 128 on, allowed
//	1.2.3.0/24  1.2.3.0-1.2.3.255  1.2.3.4         networks, ranges, addresses
//
// with IPv6 in the same places, comments after #, ; or //, and empty lines. Lines that are something else are
// skipped and counted, unless they are the most, in which case the file is no list. It never takes more
// memory than 1 Mi ranges need.
func Parse(r io.Reader) (*List, error) { return parse(r, maxRanges) }

// parse is Parse with a limit to the number of ranges.
func parse(r io.Reader, most int) (*List, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		in = bufio.NewReader(z)
	}
	limited := &io.LimitedReader{R: in, N: maxBytes + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	var spans []span
	good, skipped := 0, 0
	for lines.Scan() {
		s, kind := parseLine(lines.Text())
		switch kind {
		case lineEmpty:
			continue
		case lineBad:
			skipped++
			continue
		case lineAllowed:
			good++
			continue
		case lineBlocked:
		}
		good++
		if len(spans) == 2*most {
			// Lists say many things twice.
			if spans = merge(spans); len(spans) > most {
				return nil, fmt.Errorf("more than %d ranges", most)
			}
		}
		spans = append(spans, s)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("a line is longer than %d KiB; this is no blocklist", maxLine>>10)
	case err != nil:
		return nil, err
	case limited.N <= 0:
		return nil, fmt.Errorf("longer than %d MiB", maxBytes>>20)
	}
	spans = merge(spans)
	switch {
	case skipped > good:
		return nil, fmt.Errorf("%d of %d lines are no ranges of addresses; this is no blocklist", skipped, skipped+good)
	case len(spans) == 0:
		return nil, errors.New("there are no addresses in it")
	case len(spans) > most:
		return nil, fmt.Errorf("more than %d ranges", most)
	}
	return &List{spans: slices.Clip(slices.Clone(spans)), skipped: skipped}, nil
}

type lineKind int

const (
	lineEmpty lineKind = iota
	lineBad
	lineAllowed
	lineBlocked
)

func parseLine(line string) (span, lineKind) {
	line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
	if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") || strings.HasPrefix(line, "//") {
		return span{}, lineEmpty
	}
	// eMule's has commas after the range; a name in a P2P line may have them as well.
	if ends, rest, found := strings.Cut(line, ","); found {
		if s, ok := parseRange(ends); ok {
			level, _, _ := strings.Cut(rest, ",")
			if n, err := strconv.Atoi(strings.TrimSpace(level)); err == nil && n >= blockBelow {
				return span{}, lineAllowed
			}
			return s, lineBlocked
		}
	}
	if s, ok := parseNamed(line); ok {
		return s, lineBlocked
	}
	if at := strings.IndexAny(line, "#;"); at >= 0 {
		line = line[:at]
	}
	if s, ok := parseRange(line); ok {
		return s, lineBlocked
	}
	return span{}, lineBad
}

// longestAddr is more than any address has bytes, with the spaces around it.
const longestAddr = 64

// parseNamed reads a line of the form name:first-last. The name may have colons, as IPv6 has, so that
// every colon before the range is tried, from the left.
func parseNamed(line string) (span, bool) {
	dash := strings.LastIndexByte(line, '-')
	if dash < 0 {
		return span{}, false
	}
	last, ok := parseAddr(line[dash+1:])
	if !ok {
		return span{}, false
	}
	for at := max(0, dash-longestAddr); at < dash; at++ {
		if line[at] != ':' {
			continue
		}
		if first, ok := parseAddr(line[at+1 : dash]); ok {
			return makeSpan(first, last)
		}
	}
	return span{}, false
}

// parseRange reads a network, a range or an address.
func parseRange(text string) (span, bool) {
	text = strings.TrimSpace(text)
	if first, last, found := strings.Cut(text, "-"); found {
		a, okA := parseAddr(first)
		b, okB := parseAddr(last)
		if !okA || !okB {
			return span{}, false
		}
		return makeSpan(a, b)
	}
	if base, bits, found := strings.Cut(text, "/"); found {
		a, ok := parseAddr(base)
		n, err := strconv.ParseUint(bits, 10, 8)
		if !ok || err != nil || int(n) > a.BitLen() {
			return span{}, false
		}
		p := netip.PrefixFrom(a, int(n)).Masked()
		return span{number(p.Addr()), number(lastOf(p))}, true
	}
	a, ok := parseAddr(text)
	return span{number(a), number(a)}, ok
}

func makeSpan(first, last netip.Addr) (span, bool) {
	s := span{number(first), number(last)}
	return s, first.Is4() == last.Is4() && s.first.compare(s.last) <= 0
}

// parseAddr reads an address, which may have leading zeros if it is of IPv4.
func parseAddr(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if len(text) > longestAddr {
		return netip.Addr{}, false
	}
	if strings.Count(text, ".") == 3 && !strings.Contains(text, ":") {
		var b [4]byte
		for i, part := range strings.Split(text, ".") {
			n, err := strconv.ParseUint(part, 10, 8)
			if err != nil || len(part) > 3 {
				return netip.Addr{}, false
			}
			b[i] = byte(n)
		}
		return netip.AddrFrom4(b), true
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// lastOf returns the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	free := p.Addr().BitLen() - p.Bits()
	for i := 15; free > 0; i, free = i-1, free-8 {
		b[i] |= byte(1<<min(free, 8) - 1)
	}
	a := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		a = a.Unmap()
	}
	return a
}
