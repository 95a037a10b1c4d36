package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// checkPowerless returns an error if the thread that calls it has a capability, or may take one.
func checkPowerless() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // version 3 has 64 bits of each set
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("its capabilities are unknown: %w", err)
	}
	for _, s := range sets {
		if s.Effective|s.Permitted != 0 {
			return fmt.Errorf("has the capabilities %x", s.Effective|s.Permitted)
		}
	}
	return nil
}
