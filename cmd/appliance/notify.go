package main

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// What systemd is told of a service with Type=notify; see sd_notify(3).
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
)

// notifyTime is how long telling may take: a datagram to a socket of this machine, which waits only if systemd reads nothing at all.
const notifyTime = time.Second

// notify tells systemd a state. The address is $NOTIFY_SOCKET, which is empty for who was not started by systemd: nothing is told then.
func notify(address, state string) error {
	if address == "" {
		return nil
	}
	if name, ok := strings.CutPrefix(address, "@"); ok {
		address = "\x00" + name // one of Linux without a file
	}
	conn, err := net.DialTimeout("unixgram", address, notifyTime)
	if err != nil {
		return fmt.Errorf("tell systemd %s: %w", state, err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyTime)); err != nil {
		return fmt.Errorf("tell systemd %s: %w", state, err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell systemd %s: %w", state, err)
	}
	return nil
}
