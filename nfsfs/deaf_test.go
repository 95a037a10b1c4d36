package nfsfs

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/tree"
)

// TestDeafListers has one machine ask for as many large pages as it can, and receive none of them, while
// another lists the same folder.
func TestDeafListers(t *testing.T) {
	const deaf, most = 500, 64 << 20
	tr := testTree(t, newStuck())
	err := tr.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{2}, Route: 2, Name: "wide", FirstID: 10_000,
		Files: func() ([]tree.File, error) {
			files := make([]tree.File, 6000)
			for i := range files {
				files[i] = tree.File{Path: []string{fmt.Sprintf("%0100d", i)}, Size: 1, Index: i, Content: text("x")}
			}
			return files, nil
		},
	}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, options(t, tr))
	page := append(opaque(handleOf(t, tr, "films", "wide")), make([]byte, 16)...)
	for range 2 {
		page = binary.BigEndian.AppendUint32(page, 1<<20)
	}
	call := append(rpc.AppendCall(nil, rpc.Header{XID: 1, Program: 100003, Version: 3, Proc: procReaddirplus}), page...)
	inUse := func() int {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapInuse + m.StackInuse)
	}
	before := inUse()
	attacker := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for range deaf {
		conn, err := attacker.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		for range 8 { // of which the system's buffers take some
			if err := rpc.WriteRecord(conn, call); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := dial(t, s)
	for range 20 {
		if got := w.call(100003, 3, procReaddirplus, page); !slices.Equal(got[:6], accepted(0, nfsOK)) {
			t.Fatalf("READDIRPLUS of a client that receives its replies: %v", got[:6])
		}
	}
	if grown := inUse() - before; grown > most {
		t.Errorf("%d clients that receive nothing make the memory grow by %d MiB, want at most %d", deaf, grown>>20, most>>20)
	}
}
