//go:build linux

package wire

import (
	"bytes"
	"testing"

	"shoal/nfsfs/rpc"
)

// callRefused makes the calls that RPC itself refuses.
func callRefused(t *testing.T, network string, h *handles) {
	t.Helper()
	getattr := nfs(1, opaque(h.file))
	p := dial(t, network, clientAddr, nfsPort)
	for _, wrong := range []struct {
		program, version uint32
		want             string
	}{
		{programNFS, 2, "version mismatch 3-3"},
		{programNFS, 4, "version mismatch 3-3"},
		{programMount, 4, "version mismatch 1-3"},
		{programLocks, 2, "version mismatch 1-4"}, // which are the lowest and the highest
		{programLocks, 5, "version mismatch 1-4"},
		{programStatus, 2, "version mismatch 1-1"},
		{100227, 3, "no program"}, // ACLs, which Linux asks for
		{400_000, 1, "no program"},
	} {
		for proc := range uint32(2) {
			c := call{program: wrong.program, version: wrong.version, proc: proc}
			p.want(t, "another version", c, wrong.want)
		}
	}
	p.want(t, "another procedure", nfs(22), "no procedure")
	p.want(t, "another procedure", nfs(1<<31), "no procedure")
	for _, version := range []uint32{1, 3} {
		c := getattr
		c.rpcVersion = version
		p.want(t, "another version of RPC", c, "RPC version mismatch 2-2")
	}
	for flavor, credential := range map[uint32][]byte{
		rpc.AuthSys: append(bytes.Clone(user), 0, 0, 0, 0), // too long for what is in it
		2:           words(1, 2),                           // AUTH_SHORT
		6:           words(1, 1, 0, 1, 0),                  // RPCSEC_GSS
	} {
		c := getattr
		c.flavor, c.credential = flavor, credential
		p.want(t, "another credential", c, "auth error 1")
	}
	c := getattr
	c.flavor, c.credential = rpc.AuthSys, sysCredential("client", 17)
	p.want(t, "AUTH_SYS with too many groups", c, "auth error 1")
	c.credential = sysCredential("client", 16)
	p.want(t, "AUTH_SYS with many groups", c, "OK")
	c.flavor, c.credential = rpc.AuthNone, []byte{}
	p.want(t, "AUTH_NONE", c, "OK")
	callPortmapRefused(t, network)
	callStranger(t, network, h)
}

func callPortmapRefused(t *testing.T, network string) {
	t.Helper()
	p := dial(t, network, clientAddr, portmapPort)
	for _, version := range []uint32{1, 5} {
		p.want(t, "another version", call{program: programPortmap, version: version}, "version mismatch 2-4")
	}
	p.want(t, "another program", nfs(0), "no program")
}

// callStranger makes calls that the client may not make.
func callStranger(t *testing.T, network string, h *handles) {
	t.Helper()
	const denied = "auth error 5"
	p := dial(t, network, stranger, nfsPort)
	p.want(t, "NULL", nfs(0), "void")
	p.want(t, "GETATTR", nfs(1, opaque(h.file)), denied)
	p.want(t, "READ", nfs(6, opaque(h.file), long(0), words(10)), denied)
	p.want(t, "MNT", call{program: programMount, version: 3, proc: 1, args: opaque("/")}, "ACCES")
	p.want(t, "EXPORT", call{program: programMount, version: 3, proc: 5}, denied)
	p.want(t, "LOCK", call{program: programLocks, version: 4, proc: 2}, denied)
	p.want(t, "NOTIFY", call{program: programStatus, version: 1, proc: 6}, denied)
	p = dial(t, network, stranger, portmapPort)
	p.want(t, "GETPORT", call{program: programPortmap, version: 2, proc: 3, args: words(programNFS, 3, 6, 0)}, denied)
}
