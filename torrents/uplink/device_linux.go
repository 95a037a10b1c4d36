package uplink

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canBind says whether sockets can be bound to an interface.
const canBind = true

// bindToDevice lets the socket send and receive over the interface only. Since Linux 5.7 it needs no
// privilege, see socket(7).
func bindToDevice(fd uintptr, name string) error {
	return os.NewSyscallError("bind to "+name, unix.BindToDevice(int(fd), name))
}

// bindFrom sets the address that a socket connects from; the port is chosen when it does.
func bindFrom(fd uintptr, from netip.Addr) error {
	// Without it, all connections from the address share the ephemeral ports. Old kernels do not have it.
	_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if from.Is4() {
		return os.NewSyscallError("bind", unix.Bind(int(fd), &unix.SockaddrInet4{Addr: from.As4()}))
	}
	return os.NewSyscallError("bind", unix.Bind(int(fd), &unix.SockaddrInet6{Addr: from.As16()}))
}

// addresses returns the addresses of an interface that can be sent from, the best first (rtnetlink(7)). Those
// that reach no further than the link come last, and of IPv6 are left out.
func addresses(index int) ([]netip.Addr, error) {
	table, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	type candidate struct {
		addr netip.Addr
		rank int
	}
	var found []candidate
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg {
			continue
		}
		head := (*syscall.IfAddrmsg)(unsafe.Pointer(&m.Data[0]))
		if int(head.Index) != index || head.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			continue
		}
		addr, ok := localAddress(&m)
		if !ok || addr.Is6() && !addr.IsGlobalUnicast() {
			continue
		}
		rank := 0
		if addr.IsLinkLocalUnicast() {
			rank = 2
		} else if head.Flags&(unix.IFA_F_DEPRECATED|unix.IFA_F_TEMPORARY) != 0 {
			// IFA_F_SECONDARY is the same bit as IFA_F_TEMPORARY.
			rank = 1
		}
		found = append(found, candidate{addr, rank})
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.rank, b.rank) })
	list := make([]netip.Addr, len(found))
	for i, c := range found {
		list[i] = c.addr
	}
	return list, nil
}

// localAddress returns the address of this end: on a link between two, IFA_ADDRESS is the other's.
func localAddress(m *syscall.NetlinkMessage) (addr netip.Addr, ok bool) {
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return addr, false
	}
	for _, kind := range []uint16{syscall.IFA_LOCAL, syscall.IFA_ADDRESS} {
		for _, a := range attrs {
			if a.Attr.Type == kind {
				return netip.AddrFromSlice(a.Value)
			}
		}
	}
	return addr, false
}
