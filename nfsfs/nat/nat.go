// Package nat tells whether the addresses of clients are translated on their way here, so that one address stands for several
// machines: then who may mount, and how many connections an address may have, goes by the translator and not by the machine.
//
// Container engines do so by a proxy in front of published ports, for all clients or for some (Docker's userland-proxy and rootless
// engines: moby issue 15086). Nothing in a connection shows it, so it is concluded from two things: what machines call themselves, and
// whose address it is.
package nat

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Kind is what was found, and so how sure it is.
type Kind string

const (
	// Shared is an address that several machines come from at the same time, by what they call themselves.
	Shared Kind = "shared"
	// Gateway is one that all clients come from, and that is the gateway of a virtual network. It may be the machine behind that gateway
	// itself, alone.
	Gateway Kind = "gateway"
)

// Machine is a name that a machine has given itself in calls, and when it did so first and last.
type Machine struct {
	Name        string
	First, Last time.Time
}

// Client is an address that calls came from.
type Client struct {
	Addr     netip.Addr
	Machines []Machine // by which names; may be empty
}

// Finding is an address that stands for several machines, or seems to.
type Finding struct {
	Kind     Kind
	Addr     netip.Addr
	Machines []string // what they call themselves; two at least if Shared
}

// Find looks for an address that stands for several machines. clients are all addresses that calls came from. direct says that somebody was
// seen here by an address of his own from beyond the gateway (Network.Beyond), so that all clients being the gateway means nothing.
func Find(clients []Client, network Network, direct bool) (Finding, bool) {
	var found Finding
	var only netip.Addr
	others := 0 // beside this machine itself
	for _, c := range clients {
		addr := plain(c.Addr)
		if addr.IsLoopback() || network.owns(addr) && !network.translates(addr) {
			continue
		}
		others++
		only = addr
		names := together(c.Machines)
		more := cmp.Or(len(names)-len(found.Machines), found.Addr.Compare(addr))
		if len(names) > 1 && (len(found.Machines) == 0 || more > 0) {
			found = Finding{Shared, addr, names}
		}
	}
	if found.Kind == "" && others == 1 && !direct && network.translates(only) {
		found = Finding{Kind: Gateway, Addr: only}
	}
	return found, found.Kind != ""
}

// plain is an address as Network has it.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// together returns the names of machines that were there at the same time as another one: each was seen again after the other had come. A
// machine that got a new name, or the address of another one, does not turn back into the former.
func together(machines []Machine) []string {
	byName := make(map[string]Machine)
	for _, m := range machines {
		key := machineKey(m.Name)
		if key == "" {
			continue
		}
		if same, ok := byName[key]; ok {
			m = Machine{min(m.Name, same.Name), earlier(m.First, same.First), later(m.Last, same.Last)}
		}
		byName[key] = m
	}
	var names []string
	for key, m := range byName {
		for other, o := range byName {
			if key != other && m.First.Before(o.Last) && o.First.Before(m.Last) {
				names = append(names, m.Name)
				break
			}
		}
	}
	slices.Sort(names)
	return names
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// nobody are names that stand for no machine: libnfs gives its own, for every player that is linked with it, and a machine may have no
// name yet while it starts.
var nobody = []string{"", "libnfs", "localhost", "(none)"}

// machineKey is the same for names of one machine, and empty for one that tells none: the domain comes and goes with the network.
func machineKey(name string) string {
	key, _, _ := strings.Cut(strings.ToLower(name), ".")
	if slices.Contains(nobody, key) {
		return ""
	}
	return key
}
