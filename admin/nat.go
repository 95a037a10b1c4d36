package admin

import (
	"net/netip"
	"strings"

	"shoal/admin/locale"
)

// NAT is an address that stands for several machines, or seems to: addresses are translated on the way here.
type NAT struct {
	Kind     NATKind    `json:"kind"`
	Addr     netip.Addr `json:"address"`
	Machines []string   `json:"machines"` // what they call themselves; empty if that does not tell them apart
}

// NATKind is how it was found out.
type NATKind string

// The kinds: several machines come from the address by what they call themselves; or it is the gateway of a virtual network, and the only
// one that anybody comes from.
const (
	NATShared  NATKind = "shared"
	NATGateway NATKind = "gateway"
)

// nat returns the address that several machines come from; nil if there is none, or nobody knows.
func (s *server) nat() *NAT {
	if s.export.NAT == nil {
		return nil
	}
	return s.export.NAT()
}

const (
	// maxMachinesNamed is how many machines a sentence names, each with so many bytes of its name: strangers choose those.
	maxMachinesNamed = 3
	maxMachineName   = 30
)

// what says in a sentence or two what there is.
func (n *NAT) what(l *locale.Locale) string {
	if n.Kind != NATShared {
		return l.T("nat.gateway", n.Addr)
	}
	var names []string
	for _, name := range n.Machines[:min(len(n.Machines), maxMachinesNamed)] {
		if len(name) > maxMachineName {
			name = strings.ToValidUTF8(name[:maxMachineName], "") + "…"
		}
		names = append(names, visible(name))
	}
	if len(names) < len(n.Machines) {
		names = append(names, "…")
	}
	return l.T("nat.shared", n.Addr, strings.Join(names, ", "))
}

// remedy says what to do about it.
func (n *NAT) remedy(l *locale.Locale) string { return l.T("nat.remedy", n.Addr) }
