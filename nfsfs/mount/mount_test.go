package mount

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/tree"
)

// damaged is the inside of a torrent that cannot be read.
func damaged() ([]tree.File, error) { return nil, errors.New("damaged") }

// opened is what mountres3 has of a folder that may be mounted.
func opened(handle []byte) []byte {
	return join(words(0, 32), handle, words(2, rpc.AuthSys, rpc.AuthNone))
}

// openedV1 is fhstatus of the same.
func openedV1(handle []byte) []byte { return join(words(0), handle) }

func TestMnt(t *testing.T) {
	v := serve(t, library(t, damaged))
	top := v.handle("films", "a torrent")
	tests := []struct {
		path   string
		status uint32
		handle []byte
	}{
		{"/", 0, v.handle()},
		{"", 0, v.handle()},
		{"//", 0, v.handle()},
		{"films", 0, v.handle("films")},
		{"/films", 0, v.handle("films")},
		{"/films/", 0, v.handle("films")},
		{"/café au lait", 0, v.handle("café au lait")},
		{"/films/a torrent", 0, top},
		{"//films//a torrent/", 0, top},
		{"/films/a torrent/a", 0, v.handle("films", "a torrent", "a")},
		{"/films/a torrent/a/b", 0, v.handle("films", "a torrent", "a", "b")},
		{"/films/broken", 0, v.handle("films", "broken")},
		{"/films/broken/any", 5, nil},
		{"/films/broken/any/more", 5, nil},
		{"/films/single.iso", 20, nil},
		{"/films/single.iso/x", 20, nil},
		{"/films/a torrent/a/g", 20, nil},
		{"/films/a torrent/a/g/", 20, nil},
		{"/films/a torrent/a/b/f/x", 20, nil},
		{"/nothing", 2, nil},
		{"/films/nothing", 2, nil},
		{"/films/nothing/more", 2, nil},
		{"/Films", 2, nil},
		{"/films/.", 2, nil},
		{"/films/..", 2, nil},
		{"/films\x00", 2, nil},
		{"/caf\xe9 au lait", 2, nil},
		{"/\xff\xfe\xfd", 2, nil},
		{strings.Repeat("/", 1024), 0, v.handle()},
		{strings.Repeat("/x", 512), 2, nil},
		{strings.Repeat("x", 1023), 2, nil},
		{strings.Repeat("x", 1022), 2, nil},
	}
	v.both(friend, func(t *testing.T, w *wire) {
		for _, test := range tests {
			for version := range uint32(4) {
				if version == 0 {
					continue
				}
				what := fmt.Sprintf("version %d, %.30q", version, test.path)
				want := words(test.status)
				if test.status == 0 && version == 3 {
					want = opened(test.handle)
				} else if test.status == 0 {
					want = openedV1(test.handle)
				}
				w.expect(what, version, procMnt, path(test.path), accepted(rpc.Success, want...))
				if got := v.results.Load(); got != test.status {
					t.Errorf("%s: Call.Result is %d, want %d", what, got, test.status)
				}
			}
		}
	})
}

func TestArguments(t *testing.T) {
	v := serve(t, library(t, damaged))
	v.both(friend, func(t *testing.T, w *wire) {
		for _, proc := range []uint32{procMnt, procUmnt} {
			good := path("/films/odd")
			for size := range len(good) {
				w.expect(fmt.Sprintf("procedure %d, %d bytes", proc, size), 3, proc, good[:size], accepted(rpc.GarbageArgs))
			}
			for _, n := range []int{1025, 1026, 4000} {
				w.expect(fmt.Sprintf("procedure %d, a path of %d", proc, n), 3, proc, path(strings.Repeat("/", n)), accepted(rpc.GarbageArgs))
			}
			w.expect("a path of 2^32-1", 3, proc, words(1<<32-1), accepted(rpc.GarbageArgs))
		}
		w.expect("bytes behind a path", 3, procMnt, append(path("/films"), "more"...), accepted(rpc.Success, opened(v.handle("films"))...))
	})
}

func TestVersions(t *testing.T) {
	v := serve(t, library(t, damaged))
	unavailable, mismatch := accepted(rpc.ProcedureUnavailable), append(accepted(rpc.ProgramMismatch), words(1, 3)...)
	v.both(friend, func(t *testing.T, w *wire) {
		for version := range uint32(6) {
			for proc := range uint32(10) {
				what := fmt.Sprintf("version %d, procedure %d", version, proc)
				got := w.call(version, proc, path("/"))
				last := uint32(procExport)
				if version < 3 {
					last = procExportV1
				}
				switch {
				case version < 1 || version > 3:
					if !bytes.Equal(got, mismatch) {
						t.Errorf("%s: %x, want %x", what, got, mismatch)
					}
				case proc > last:
					if !bytes.Equal(got, unavailable) {
						t.Errorf("%s: %x, want %x", what, got, unavailable)
					}
				case proc == 0 || proc == procUmnt || proc == procUmntAll:
					if !bytes.Equal(got, accepted(rpc.Success)) {
						t.Errorf("%s: %x, want nothing", what, got)
					}
				case !bytes.HasPrefix(got, accepted(rpc.Success)):
					t.Errorf("%s: %x, want success", what, got)
				}
			}
		}
	})
}

// TestLoadErrors mounts what is inside a torrent that fails. Nobody must be told that it does not exist.
func TestLoadErrors(t *testing.T) {
	for _, err := range []error{
		errors.New("damaged"),
		&os.PathError{Op: "open", Path: "3.torrent", Err: syscall.ENOENT},
		&os.PathError{Op: "open", Path: "3.torrent", Err: syscall.EMFILE},
	} {
		v := serve(t, library(t, func() ([]tree.File, error) { return nil, err }))
		v.dial("tcp", friend).expect(err.Error(), 3, procMnt, path("/films/broken/any"), accepted(rpc.Success, words(5)...))
	}
}

// TestStrangers has clients that are not allowed: MNT tells them so, and nothing else tells anything. Nothing is read for them.
func TestStrangers(t *testing.T) {
	var reads atomic.Int32
	v := serve(t, library(t, func() ([]tree.File, error) {
		reads.Add(1)
		return damaged()
	}))
	v.both(stranger, func(t *testing.T, w *wire) {
		for _, version := range Versions {
			for _, p := range []string{"/", "/films", "/nothing", "/films/single.iso", "/films/broken/any", ""} {
				w.expect("MNT", version, procMnt, path(p), accepted(rpc.Success, words(13)...))
				if got := v.results.Load(); got != 13 {
					t.Errorf("MNT of %q: Call.Result is %d", p, got)
				}
			}
			w.expect("MNT of a path of 1025", version, procMnt, path(strings.Repeat("x", 1025)), accepted(rpc.GarbageArgs))
			w.expect("NULL", version, 0, nil, accepted(rpc.Success))
			for proc := uint32(procDump); proc < 10; proc++ {
				w.expect(fmt.Sprintf("procedure %d", proc), version, proc, path("/"), tooWeak)
			}
		}
	})
	if n := len(v.mounts.Mounts()); n > 0 {
		t.Errorf("%d mounts of strangers are remembered", n)
	}
	if n := reads.Load(); n > 0 {
		t.Errorf("a torrent is read %d times for strangers", n)
	}
}

func TestExport(t *testing.T) {
	v := serve(t, library(t, damaged))
	v.both(friend, func(t *testing.T, w *wire) {
		for version, proc := range map[uint32]uint32{1: procExport, 2: procExportV1, 3: procExport} {
			got, err := parseExports(w.call(version, proc, nil)[16:])
			if want := []string{"/", "/café au lait", "/films"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("version %d: %q, %v; want %q", version, got, err, want)
			}
		}
	})
}

// TestLongLists has more routes, and more mounts, than fit a datagram.
func TestLongLists(t *testing.T) {
	tr := tree.New(time.Unix(0, 0))
	const routes = 600
	for i := range routes {
		name := fmt.Sprintf("%04d %s", i, strings.Repeat("r", 200+i%50))
		if err := tr.PutRoute(tree.Route{ID: tree.RouteID(i + 2), Name: name}, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	v := serve(t, tr)
	w, u := v.dial("tcp", friend), v.dial("udp", friend)
	all, err := parseExports(w.call(3, procExport, nil)[16:])
	if err != nil || len(all) != routes+1 {
		t.Fatalf("%d exports, %v; want %d", len(all), err, routes+1)
	}
	for _, p := range all[1:] {
		w.call(3, procMnt, path(p))
	}
	mounts, err := parseDump(w.call(3, procDump, nil)[16:])
	if err != nil || len(mounts) != routes {
		t.Fatalf("%d mounts, %v; want %d", len(mounts), err, routes)
	}
	some, err := parseExports(u.call(3, procExport, nil)[16:])
	if err != nil || len(some) < 100 || !slices.Equal(some, all[:len(some)]) {
		t.Errorf("%d exports in a datagram, %v; want the first", len(some), err)
	}
	first, err := parseDump(u.call(3, procDump, nil)[16:])
	if err != nil || len(first) < 100 || !slices.Equal(first, mounts[:len(first)]) {
		t.Errorf("%d mounts in a datagram, %v; want the first", len(first), err)
	}
}

// TestTable mounts and unmounts from several addresses.
func TestTable(t *testing.T) {
	v := serve(t, library(t, damaged))
	alice, bob := v.dial("tcp", friend), v.dial("udp", "127.0.0.2")
	alice.machine = "alice"
	expect := func(want ...[2]string) {
		t.Helper()
		for version := uint32(1); version <= 3; version++ {
			got, err := parseDump(bob.call(version, procDump, nil)[16:])
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}
	}
	nothing := accepted(rpc.Success)
	expect()
	bob.call(3, procMnt, path("/films"))
	alice.call(1, procMnt, path("//films//a torrent/"))
	alice.call(3, procMnt, path("/"))
	alice.call(3, procMnt, path("/films/a torrent")) // once more
	alice.call(3, procMnt, path("/films/single.iso"))
	alice.call(3, procMnt, path("/nothing"))
	expect([2]string{"127.0.0.1", "/"}, [2]string{"127.0.0.1", "/films/a torrent"}, [2]string{"127.0.0.2", "/films"})
	mounts := v.mounts.Mounts()
	if m := mounts[0]; m.Machine != "alice" || m.Client != netip.MustParseAddr("127.0.0.1") || time.Since(m.Since) > patience {
		t.Errorf("a mount: %+v", m)
	}
	if m := mounts[2]; m.Machine != "" {
		t.Errorf("a mount of nobody: %+v", m)
	}
	alice.expect("UMNT of what another has mounted", 3, procUmnt, path("/films"), nothing)
	alice.expect("UMNT of nothing", 3, procUmnt, path("/nothing"), nothing)
	expect([2]string{"127.0.0.1", "/"}, [2]string{"127.0.0.1", "/films/a torrent"}, [2]string{"127.0.0.2", "/films"})
	alice.expect("UMNT", 3, procUmnt, path("films//a torrent"), nothing)
	expect([2]string{"127.0.0.1", "/"}, [2]string{"127.0.0.2", "/films"})
	alice.call(3, procMnt, path("/films"))
	bob.expect("UMNTALL", 1, procUmntAll, nil, nothing)
	expect([2]string{"127.0.0.1", "/"}, [2]string{"127.0.0.1", "/films"})
	alice.expect("UMNTALL", 3, procUmntAll, nil, nothing)
	expect()
}

// TestTableIsBounded mounts more than is remembered. The latest are.
func TestTableIsBounded(t *testing.T) {
	var tab table
	client := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	at := time.Unix(1_700_000_000, 0)
	for i := range maxMounts + 10 {
		tab.add(client(i), "/", "", at)
	}
	list := tab.list()
	if len(list) != maxMounts || list[0].Client != client(10) || list[maxMounts-1].Client != client(maxMounts+9) {
		t.Errorf("%d mounts, of %v to %v", len(list), list[0].Client, list[len(list)-1].Client)
	}
	// One that is mounted again makes no other vanish, and is the latest.
	tab.add(client(10), "/", "m", at.Add(1))
	if n := len(tab.list()); n != maxMounts {
		t.Errorf("%d mounts, want %d", n, maxMounts)
	}
	tab.add(client(5000), "/", "", at)
	if list = tab.list(); list[0].Client != client(10) || list[1].Client != client(12) {
		t.Errorf("mounts of %v, %v; want the one that was mounted again, and none of the oldest", list[0].Client, list[1].Client)
	}
}

// TestTogether mounts, unmounts and lists from many goroutines.
func TestTogether(t *testing.T) {
	v := serve(t, library(t, damaged))
	var all sync.WaitGroup
	for i := range 4 {
		w := v.dial([]string{"tcp", "udp"}[i%2], fmt.Sprintf("127.0.0.%d", i+1))
		all.Go(func() {
			for range 50 {
				w.call(3, procMnt, path("/films"))
				if _, err := parseDump(w.call(3, procDump, nil)[16:]); err != nil {
					t.Error(err)
				}
				w.call(3, procUmntAll, nil)
			}
		})
	}
	all.Wait()
	if n := len(v.mounts.Mounts()); n > 0 {
		t.Errorf("%d mounts are left", n)
	}
}
