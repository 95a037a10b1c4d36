package main

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestExplainListen: what is to be typed instead is no more open than what was.
func TestExplainListen(t *testing.T) {
	for _, test := range []struct {
		addr  string
		errno syscall.Errno
		want  string
	}{
		{":2049", syscall.EADDRINUSE, " is taken (address already in use): stop the program that has it, which on a NAS is often its own NFS server, " +
			"or set SHOAL_NFS_ADDR to another port, such as :12049;"},
		{"127.0.0.1:60000", syscall.EADDRINUSE, " such as 127.0.0.1:50000;"},
		{"[::1]:2049", syscall.EADDRINUSE, " such as [::1]:12049;"},
		{":1023", syscall.EACCES, "SHOAL_NFS_ADDR: TCP port 1023 is for root only"},
		{":2049", syscall.EACCES, "SHOAL_NFS_ADDR: listen tcp: bind: permission denied"}, // by a policy
	} {
		err := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", test.errno)}
		if got := explainListen("NFS_ADDR", test.addr, err); !strings.Contains(got.Error(), test.want) {
			t.Errorf("%s: %v: %q, want %q in it", test.addr, test.errno, got, test.want)
		}
	}
}
