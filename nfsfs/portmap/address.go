package portmap

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

const (
	// maxString is the longest string of a call or reply, in bytes. The longest that there is a reason
	// for is the path of a socket, of 108.
	maxString = 1024
	// maxSockaddr is the longest sockaddr (struct sockaddr_storage).
	maxSockaddr = 128
)

// entry is an address of a program (struct rpcb; RFC 1833, section 2.1).
type entry struct {
	program, version   uint32
	netid, addr, owner string
}

func (e entry) append(b []byte) []byte {
	b = xdr.AppendWords(b, e.program, e.version)
	for _, s := range []string{e.netid, e.addr, e.owner} {
		b = xdr.AppendOpaque(b, s)
	}
	return b
}

func takeEntry(d *xdr.Decoder) entry {
	return entry{d.Uint32(), d.Uint32(), d.String(maxString), d.String(maxString), d.String(maxString)}
}

// parseDump returns the result of DUMP. It has no more entries than fit into it.
func parseDump(result []byte) ([]entry, error) {
	var all []entry
	d := xdr.NewDecoder(result)
	for d.Bool() {
		e := takeEntry(&d)
		if d.Err() != nil {
			break
		}
		all = append(all, e)
	}
	return all, d.Err()
}

// universal returns an address as rpcbind writes it: the IP address, and the two bytes of the port behind
// dots (RFC 5665, section 5.2.3).
func universal(a netip.AddrPort) string {
	return fmt.Sprintf("%s.%d.%d", bare(a.Addr()), a.Port()>>8, a.Port()&0xff)
}

// parseUniversal is the reverse of universal.
func parseUniversal(s string) (netip.AddrPort, error) {
	rest, low, err := cutByte(s)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip, high, err := cutByte(rest)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("universal address: %w", err)
	}
	return netip.AddrPortFrom(bare(addr), uint16(high)<<8|uint16(low)), nil
}

// cutByte cuts the last number off a universal address.
func cutByte(s string) (rest string, b byte, err error) {
	i := strings.LastIndexByte(s, '.')
	n, err := strconv.ParseUint(s[i+1:], 10, 8)
	if i < 0 || err != nil {
		return "", 0, fmt.Errorf("%q is no universal address", s)
	}
	return s[:i], byte(n), nil
}

// What a sockaddr begins with. UADDR2TADDR and TADDR2UADDR are for programs of this machine, so it is
// that of Linux, in the machine's own byte order; ports are in that of the network.
const (
	familyIPv4 = 2
	familyIPv6 = 10

	sizeIPv4 = 16 // family, port, address, 8 bytes of nothing
	sizeIPv6 = 28 // family, port, flow, address, scope
)

// toTaddr answers UADDR2TADDR: a universal address as a sockaddr, or an empty one if it is none.
func toTaddr(args, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(args)
	s := d.String(maxString)
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	var b []byte
	if a, err := parseUniversal(s); err == nil {
		b = appendSockaddr(nil, a)
	}
	// A netbuf has the size of its buffer in front (RFC 1833, section 2.1).
	return xdr.AppendOpaque(xdr.AppendUint32(reply, uint32(len(b))), b), rpc.Success
}

// toUaddr answers TADDR2UADDR: a sockaddr as a universal address, or an empty string.
func toUaddr(args, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(args)
	d.Uint32() // the size of the buffer it was in
	b := d.Opaque(maxSockaddr)
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	s := ""
	if a, ok := parseSockaddr(b); ok {
		s = universal(a)
	}
	return xdr.AppendOpaque(reply, s), rpc.Success
}

func appendSockaddr(b []byte, a netip.AddrPort) []byte {
	if a.Addr().Is4() {
		b = binary.BigEndian.AppendUint16(binary.NativeEndian.AppendUint16(b, familyIPv4), a.Port())
		b = append(b, a.Addr().AsSlice()...)
		return append(b, make([]byte, 8)...)
	}
	b = binary.BigEndian.AppendUint16(binary.NativeEndian.AppendUint16(b, familyIPv6), a.Port())
	b = append(b, 0, 0, 0, 0)
	b = append(b, a.Addr().AsSlice()...)
	return append(b, 0, 0, 0, 0)
}

func parseSockaddr(b []byte) (a netip.AddrPort, ok bool) {
	if len(b) < sizeIPv4 {
		return a, false
	}
	ip := b[4:8]
	switch family := binary.NativeEndian.Uint16(b); {
	case family == familyIPv4:
	case family == familyIPv6 && len(b) >= sizeIPv6:
		ip = b[8:24]
	default:
		return a, false
	}
	addr, ok := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(b[2:])), ok
}
