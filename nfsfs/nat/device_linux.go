package nat

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// linkInfo and linkKind are attributes of a network device that package syscall has no names for (IFLA_LINKINFO and IFLA_INFO_KIND of
// linux/if_link.h): what the module calls itself that made the device.
const (
	linkInfo = 18
	linkKind = 1
)

// Devices returns of what kind the network devices are, by name, as `ip -details link` does: "veth" or "tun", say. Those of hardware have none.
func Devices() (map[string]string, error) {
	b, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", os.NewSyscallError("netlink", err))
	}
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", os.NewSyscallError("netlink", err))
	}
	kinds := make(map[string]string)
	for i := range messages {
		if messages[i].Header.Type != syscall.RTM_NEWLINK {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&messages[i])
		if err != nil {
			return nil, fmt.Errorf("list network devices: %w", os.NewSyscallError("netlink", err))
		}
		name, kind := "", ""
		for _, a := range attributes {
			switch a.Attr.Type {
			case syscall.IFLA_IFNAME:
				name = text(a.Value)
			case linkInfo:
				kind = kindIn(a.Value)
			}
		}
		kinds[name] = kind
	}
	return kinds, nil
}

// kindIn finds the kind in the attributes that linkInfo is made of. Each has its length, its type, and a value that ends at a multiple of 4.
func kindIn(b []byte) string {
	for len(b) >= syscall.SizeofNlAttr {
		n, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < syscall.SizeofNlAttr || n > len(b) {
			return ""
		}
		if kind == linkKind {
			return text(b[syscall.SizeofNlAttr:n])
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return ""
}

// text is a C string.
func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }
