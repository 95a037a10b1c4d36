//go:build linux

package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// callMount makes all calls of MOUNT.
func callMount(t *testing.T, p *peer) {
	t.Helper()
	for version := uint32(1); version <= 3; version++ {
		mount := func(proc uint32, args ...[]byte) call {
			return call{program: programMount, version: version, proc: proc, args: bytes.Join(args, nil)}
		}
		p.want(t, "NULL", mount(0), "void")
		for path, want := range map[string]string{
			"/": "OK", "/music/album": "OK", "music/": "OK", "/nope": "NOENT", "/music/album/file": "NOTDIR",
			"/music/nope/nope": "NOENT",
		} {
			p.want(t, "MNT "+path, mount(1, opaque(path)), want)
		}
		p.want(t, "MNT of a long path", mount(1, opaque(strings.Repeat("p", 1024))), "NOENT")
		p.want(t, "MNT of too long a path", mount(1, opaque(strings.Repeat("p", 1025))), "garbage")
		p.want(t, "MNT cut off", mount(1, words(10)), "garbage")
		p.want(t, "DUMP", mount(2), "success")
		p.want(t, "EXPORT", mount(5), "success")
		p.want(t, "UMNT", mount(3, opaque("/music/album")), "void")
		p.want(t, "UMNT of nothing", mount(3, opaque("/nope")), "void")
		p.want(t, "UMNT cut off", mount(3), "garbage")
		p.want(t, "UMNTALL", mount(4), "void")
		p.want(t, "DUMP of nothing", mount(2), "success")
		everything := "success"
		if version == 3 {
			everything = "no procedure"
		}
		p.want(t, "EXPORTALL", mount(6), everything)
		p.want(t, "what there is not", mount(99), "no procedure")
	}
}

// callStatus makes all calls of NSM.
func callStatus(t *testing.T, p *peer) {
	t.Helper()
	status := func(proc uint32, args ...[]byte) call {
		return call{program: programStatus, version: 1, proc: proc, args: bytes.Join(args, nil)}
	}
	me := append(opaque("client"), words(programLocks, 4, 16)...)
	p.want(t, "NULL", status(0), "void")
	p.want(t, "STAT", status(1, opaque("host")), "1")
	p.want(t, "MON", status(2, opaque("host"), me, make([]byte, 16)), "1")
	p.want(t, "UNMON", status(3, opaque("host"), me), "success")
	p.want(t, "UNMON_ALL", status(4, me), "success")
	p.want(t, "SIMU_CRASH", status(5), "void")
	p.want(t, "NOTIFY", status(6, opaque("client"), words(3)), "void")
	for proc := uint32(1); proc <= 6; proc++ {
		if proc != 5 {
			p.want(t, "cut off", status(proc, words(8)), "garbage")
		}
	}
	p.want(t, "what there is not", status(7), "no procedure")
}

// callPortmap makes all calls of the portmapper, and of rpcbind.
func callPortmap(t *testing.T, p *peer) {
	t.Helper()
	p2 := func(proc uint32, args ...[]byte) call {
		return call{program: programPortmap, version: 2, proc: proc, args: bytes.Join(args, nil)}
	}
	const tcp, udp = 6, 17
	p.want(t, "NULL", p2(0), "void")
	p.want(t, "SET", p2(1, words(400_000, 1, udp, 1234)), "0")
	p.want(t, "UNSET", p2(2, words(programNFS, 3, 0, 0)), "0")
	p.want(t, "GETPORT of NFS", p2(3, words(programNFS, 3, tcp, 0)), nfsPort)
	p.want(t, "GETPORT of NFS over UDP", p2(3, words(programNFS, 3, udp, 0)), "0")
	p.want(t, "GETPORT of nothing", p2(3, words(400_000, 3, tcp, 0)), "0")
	p.want(t, "GETPORT cut off", p2(3, words(programNFS, 3, tcp)), "garbage")
	p.want(t, "DUMP", p2(4), "1")
	p.want(t, "CALLIT", p2(5, words(programMount, 3, 0), opaque("")), nfsPort)
	p.want(t, "CALLIT of another procedure", p2(5, words(programMount, 3, 5), opaque("")), "silence")
	p.want(t, "what there is not", p2(6), "no procedure")
	for version := uint32(3); version <= 4; version++ {
		callRpcbind(t, p, version)
	}
}

func callRpcbind(t *testing.T, p *peer, version uint32) {
	t.Helper()
	rpcb := func(proc uint32, args ...[]byte) call {
		return call{program: programPortmap, version: version, proc: proc, args: bytes.Join(args, nil)}
	}
	entry := func(program uint32, netid string) []byte {
		return bytes.Join([][]byte{words(program, 3), opaque(netid), opaque(server + ".0.111"), opaque("client")}, nil)
	}
	p.want(t, "NULL", rpcb(0), "void")
	p.want(t, "SET", rpcb(1, entry(400_000, "udp")), "0")
	p.want(t, "UNSET", rpcb(2, entry(programNFS, "tcp")), "0")
	address := fmt.Sprint(len(server + ".8.1"))
	p.want(t, "GETADDR of NFS", rpcb(3, entry(programNFS, "tcp")), address)
	p.want(t, "GETADDR of NFS over UDP", rpcb(3, entry(programNFS, "udp")), "0")
	p.want(t, "GETADDR over something else", rpcb(3, entry(programMount, "carrier pigeon")), address)
	p.want(t, "GETADDR of nothing", rpcb(3, entry(400_000, "tcp")), "0")
	p.want(t, "GETADDR cut off", rpcb(3, words(programNFS)), "garbage")
	p.want(t, "DUMP", rpcb(4), "1")
	p.want(t, "CALLIT", rpcb(5, words(programMount, 3, 0), opaque("")), address)
	p.want(t, "CALLIT of nothing", rpcb(5, words(400_000, 3, 0), opaque("")), "silence")
	p.want(t, "GETTIME", rpcb(6), "success")
	result := p.want(t, "UADDR2TADDR", rpcb(7, opaque(server+".8.1")), "16")
	p.want(t, "TADDR2UADDR", rpcb(8, result), address)
	p.want(t, "UADDR2TADDR of nothing", rpcb(7, opaque("x")), "0")
	p.want(t, "TADDR2UADDR of nothing", rpcb(8, words(4), opaque("abcd")), "0")
	if version == 3 {
		p.want(t, "GETVERSADDR", rpcb(9, entry(programNFS, "tcp")), "no procedure")
		return
	}
	p.want(t, "GETVERSADDR", rpcb(9, entry(programNFS, "tcp")), address)
	p.want(t, "INDIRECT", rpcb(10, words(programMount, 3, 0), opaque("")), address)
	p.want(t, "INDIRECT of nothing", rpcb(10, words(400_000, 3, 0), opaque("")), "no program")
	p.want(t, "INDIRECT of another procedure", rpcb(10, words(programMount, 3, 5), opaque("")), "no procedure")
	p.want(t, "GETADDRLIST", rpcb(11, entry(programMount, "tcp")), "1")
	p.want(t, "GETADDRLIST of nothing", rpcb(11, entry(400_000, "tcp")), "0")
	p.want(t, "GETSTAT", rpcb(12), "no procedure")
	p.want(t, "what there is not", rpcb(13), "no procedure")
}
