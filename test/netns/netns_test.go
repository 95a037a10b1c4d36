//go:build linux

package netns

import (
	"net"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	os.Exit(Run(func() error { return nil }, m.Run))
}

// TestAlone checks that nobody can be reached but the test itself, and that it can be.
func TestAlone(t *testing.T) {
	Require(t)
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) != 1 || interfaces[0].Name != "lo" {
		t.Errorf("interfaces %+v (%v), want lo alone", interfaces, err)
	}
	for _, addr := range []string{"127.0.0.1:111", "[::1]:111", ":2049"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Errorf("listen: %v", err)
			continue
		}
		if conn, err := net.Dial("tcp", addr); err != nil {
			t.Errorf("dial: %v", err)
		} else {
			conn.Close()
		}
		l.Close()
	}
	if entries, err := os.ReadDir("/run"); err != nil || len(entries) > 0 {
		t.Errorf("/run has %v (%v), want nothing", entries, err)
	}
	if pid := os.Getpid(); pid != 1 {
		t.Errorf("the process %d, want the first one", pid)
	}
}
