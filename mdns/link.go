package mdns

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxAddrs is how many addresses of an interface are told: a message has room for more, but nobody needs them.
const maxAddrs = 16

// maxServices is how many services there may be: a set has room for the records of so many.
const maxServices = 8

// link is an interface with one version of IP: those are told separately (RFC 6762, section 20).
type link struct {
	name  string
	index int
	ipv6  bool

	networks []netip.Prefix // whose machines are on the link
	addrs    []netip.Addr   // that are told, of both versions
	services []Service      // that are told
}

// containers matches the names of interfaces to containers and virtual machines of this machine, which find it by other means. A
// bridge that the local network is on has other names: br0, br-lan, vmbr0.
var containers = regexp.MustCompile(`^(docker|br-[0-9a-f]{12}$|veth|virbr|cni|podman|lxcbr|lxdbr|incusbr|cali|flannel)`)

// choose returns the links on which there is something to tell.
func choose(all []networkInterface, opts *Options) []*link {
	var links []*link
	for i := range all {
		ifi := &all[i]
		const need, not = net.FlagUp | net.FlagMulticast, net.FlagLoopback | net.FlagPointToPoint
		if ifi.Flags&(need|not) != need || slices.Contains(opts.Without, ifi.Name) || containers.MatchString(ifi.Name) {
			continue
		}
		addrs, services := tell(ifi, opts)
		if len(services) == 0 {
			continue
		}
		for _, ipv6 := range []bool{false, true} {
			networks := slices.DeleteFunc(slices.Clone(ifi.prefixes), func(p netip.Prefix) bool { return p.Addr().Is6() != ipv6 })
			if len(networks) > 0 {
				links = append(links, &link{ifi.Name, ifi.Index, ipv6, networks, addrs, services})
			}
		}
	}
	return links
}

// tell returns the services of an interface, and those of its addresses at which all of them are.
func tell(ifi *networkInterface, opts *Options) ([]netip.Addr, []Service) {
	var addrs, linkLocal []netip.Addr
	for _, p := range ifi.prefixes {
		if addr := p.Addr(); addr.Is6() && addr.IsLinkLocalUnicast() {
			linkLocal = append(linkLocal, addr)
		} else {
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) == 0 {
		addrs = linkLocal // many programs cannot use them, as they are nothing without the interface
	}
	addrs = slices.DeleteFunc(addrs, func(addr netip.Addr) bool { return addr.IsLoopback() || opts.Tell != nil && !opts.Tell(addr) })
	var services []Service
	for _, s := range opts.Services {
		at := slices.DeleteFunc(slices.Clone(addrs), func(addr netip.Addr) bool { return !s.listens(addr) })
		if len(at) > 0 && len(services) < maxServices {
			addrs, services = at, append(services, s)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs[:min(len(addrs), maxAddrs)], services
}

// listens says whether a service is to be had at an address of this machine.
func (s *Service) listens(addr netip.Addr) bool {
	at := s.Addr.Addr().Unmap().WithZone("")
	return !at.IsValid() || at.IsUnspecified() || at == addr
}

// sameLinks says whether nothing has changed.
func sameLinks(a, b []*link) bool {
	return slices.EqualFunc(a, b, func(a, b *link) bool {
		return a.name == b.name && a.index == b.index && a.ipv6 == b.ipv6 && slices.Equal(a.networks, b.networks) &&
			slices.Equal(a.addrs, b.addrs) && len(a.services) == len(b.services)
	})
}

// has says whether somebody with the address is on the link, so far as that can be told.
func (l *link) has(from netip.Addr) bool {
	if from.Is6() && from.IsLinkLocalUnicast() {
		return l.ipv6 && slices.Contains([]string{"", l.name, strconv.Itoa(l.index)}, from.Zone())
	}
	return slices.ContainsFunc(l.networks, func(p netip.Prefix) bool { return p.Contains(from.WithZone("")) })
}

// names are those that a machine takes.
type names struct {
	instance string // of each service, for people
	host     string // with the domain, and a dot at its end
}

const (
	domain = "local."

	// A label has at most 63 bytes (RFC 1035): so much is left of the machine's name beside what we add.
	maxMachine = 45
)

// newNames returns the names of an attempt: 1 is the first, and each has others.
func newNames(machine string, attempt int) names {
	machine, _, _ = strings.Cut(machine, ".") // a dot could not be told from the one between labels
	machine = strings.ToValidUTF8(machine[:min(len(machine), maxMachine)], "")
	machine = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\\' {
			return -1
		}
		return r
	}, machine)
	instance, host := "Shoal", "shoal"
	if machine != "" {
		instance += " on " + machine
	}
	if label := hostLabel(machine); label != "" {
		host += "-" + label
	}
	if attempt > 1 {
		instance += " (" + strconv.Itoa(attempt) + ")"
		host += "-" + strconv.Itoa(attempt)
	}
	return names{instance, host + "." + domain}
}

// hostLabel is a name with nothing but what host names have.
func hostLabel(name string) string {
	label := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, name)
	return strings.Trim(label, "-")
}
