//go:build !linux

package uplink

import (
	"errors"
	"net/netip"
)

// canBind is false: bound to an address alone, packets would go elsewhere while the interface is down.
const canBind = false

func bindToDevice(uintptr, string) error  { return errors.ErrUnsupported }
func bindFrom(uintptr, netip.Addr) error  { return errors.ErrUnsupported }
func addresses(int) ([]netip.Addr, error) { return nil, errors.ErrUnsupported }
