//go:build linux

package portmap_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"shoal/nfsfs/portmap"
	"shoal/nfsfs/rpc"
)

// mappings are the programs that tests register: all are at port 2049, as Shoal's are.
var mappings = []portmap.Mapping{
	{Program: 100003, Version: 3, Protocol: portmap.TCP, Port: 2049},
	{Program: 100005, Version: 1, Protocol: portmap.TCP, Port: 2049},
	{Program: 100005, Version: 1, Protocol: portmap.UDP, Port: 2049},
	{Program: 100005, Version: 2, Protocol: portmap.TCP, Port: 2049},
	{Program: 100005, Version: 2, Protocol: portmap.UDP, Port: 2049},
	{Program: 100005, Version: 3, Protocol: portmap.TCP, Port: 2049},
	{Program: 100005, Version: 3, Protocol: portmap.UDP, Port: 2049},
}

// null has no procedure but NULL.
type null struct{}

func (null) Serve(_ *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	return reply, rpc.ProcedureUnavailable
}

// serve serves programs at an address, until the end of the test.
func serve(t *testing.T, addr string, services ...rpc.Service) {
	t.Helper()
	s, err := rpc.Listen(addr, rpc.Options{
		Services: services,
		Allowed:  func(netip.Addr) bool { return true },
		Logger:   slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

// servePrograms serves what is in mappings.
func servePrograms(t *testing.T) {
	t.Helper()
	serve(t, ":2049",
		rpc.Service{Program: 100003, Versions: []uint32{3}, Handler: null{}},
		rpc.Service{Program: 100005, Versions: []uint32{1, 2, 3}, Handler: null{}})
}

// table returns the first fields of each line but the first, joined and sorted.
func table(out string, fields int) []string {
	var rows []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) >= fields {
			rows = append(rows, strings.Join(f[:fields], " "))
		}
	}
	rows = rows[min(1, len(rows)):]
	slices.Sort(rows)
	return rows
}

// inVersion2 is what rpcinfo -p has to say of the programs.
func inVersion2(programs []portmap.Mapping) []string {
	var rows []string
	for _, m := range programs {
		protocol := map[portmap.Protocol]string{portmap.TCP: "tcp", portmap.UDP: "udp"}[m.Protocol]
		rows = append(rows, fmt.Sprintf("%d %d %s %d", m.Program, m.Version, protocol, m.Port))
	}
	slices.Sort(rows)
	return rows
}

// inVersion4 is what rpcinfo has to say of the programs.
func inVersion4(programs []portmap.Mapping) []string {
	var rows []string
	for _, m := range programs {
		protocol := map[portmap.Protocol]string{portmap.TCP: "tcp", portmap.UDP: "udp"}[m.Protocol]
		port := fmt.Sprintf("%d.%d", m.Port>>8, m.Port&0xff)
		rows = append(rows,
			fmt.Sprintf("%d %d %s 0.0.0.0.%s", m.Program, m.Version, protocol, port),
			fmt.Sprintf("%d %d %s6 ::.%s", m.Program, m.Version, protocol, port))
	}
	slices.Sort(rows)
	return rows
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestRpcinfo asks our portmapper with a client that nobody here wrote.
func TestRpcinfo(t *testing.T) {
	if !inside(t) {
		return
	}
	serve(t, ":111", portmap.New(mappings).Service())
	servePrograms(t)
	all := slices.Clone(mappings)
	for version := uint32(2); version <= 4; version++ {
		for _, protocol := range []portmap.Protocol{portmap.TCP, portmap.UDP} {
			all = append(all, portmap.Mapping{Program: portmap.Program, Version: version, Protocol: protocol, Port: 111})
		}
	}
	compare(t, "rpcinfo -p", table(run(t, "rpcinfo", "-p", "127.0.0.1"), 4), inVersion2(all))
	compare(t, "rpcinfo", table(run(t, "rpcinfo", "127.0.0.1"), 4), inVersion4(all))
	compare(t, "rpcinfo over IPv6", table(run(t, "rpcinfo", "::1"), 4), inVersion4(all))
	for _, test := range []struct {
		args string
		want []string // parts of what is said
		fail bool
	}{
		{"-T tcp 127.0.0.1 100003 3", []string{"program 100003 version 3 ready and waiting"}, false},
		{"-T tcp6 ::1 100003 3", []string{"program 100003 version 3 ready and waiting"}, false},
		{"-T udp 127.0.0.1 100005 3", []string{"program 100005 version 3 ready and waiting"}, false},
		{"-T udp6 ::1 100005 3", []string{"program 100005 version 3 ready and waiting"}, false},
		{"-T tcp 127.0.0.1 100000 4", []string{"program 100000 version 4 ready and waiting"}, false},
		// For these it has to be told the port of a version that there is none of.
		{"-T udp 127.0.0.1 100005", []string{"version 1 ready", "version 2 ready", "version 3 ready"}, false},
		{"-T tcp6 ::1 100005", []string{"version 1 ready", "version 2 ready", "version 3 ready"}, false},
		{"-T tcp 127.0.0.1 100005 9", []string{"low version = 1, high version = 3"}, true},
		{"-u 127.0.0.1 100005 3", []string{"program 100005 version 3 ready and waiting"}, false},
		{"-t 127.0.0.1 100005", []string{"version 1 ready", "version 2 ready", "version 3 ready"}, false},
		{"-T udp 127.0.0.1 100003 3", []string{"Program not registered"}, true},
		{"-T tcp 127.0.0.1 100021 4", []string{"Program not registered"}, true},
		{"-l 127.0.0.1 100005 3", []string{"127.0.0.1.8.1", "udp", "tcp"}, false},
		{"-s 127.0.0.1", []string{"100005  3,2,1"}, false},
		{"-d 100003 3", []string{"Could not delete registration"}, true},
		{"-m 127.0.0.1", []string{"can't contact rpcbind", "Procedure unavailable"}, true}, // GETSTAT
	} {
		out, err := try(t, "rpcinfo", strings.Fields(test.args)...)
		if (err != nil) != test.fail {
			t.Errorf("rpcinfo %s: %v\n%s", test.args, err, out)
		}
		for _, part := range test.want {
			if !strings.Contains(out, part) {
				t.Errorf("rpcinfo %s said no %q:\n%s", test.args, part, out)
			}
		}
	}
}

// TestBroadcast lets clients look for servers from another machine of the network.
func TestBroadcast(t *testing.T) {
	if !inside(t) {
		return
	}
	there, _ := start(t, "unshare", "--net", "sleep", "infinity")
	pid := strconv.Itoa(there.Process.Pid)
	own := network(t, "self")
	eventually(t, "other network", func() bool { return network(t, pid) != own })
	from := func(args ...string) string {
		return run(t, "nsenter", append([]string{"--net", "--target", pid}, args...)...)
	}
	run(t, "ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", pid)
	run(t, "ip", "addr", "add", "10.9.8.1/24", "brd", "+", "dev", "here")
	run(t, "ip", "link", "set", "here", "up")
	from("ip", "addr", "add", "10.9.8.2/24", "brd", "+", "dev", "there")
	from("ip", "link", "set", "there", "up")
	from("ip", "link", "set", "lo", "up")
	serve(t, ":111", portmap.New(mappings).Service())
	servePrograms(t)

	// It broadcasts CALLIT of the portmapper and that of rpcbind, and would listen for 12 s, so that the
	// program that ends it has to fail.
	search := []string{"--net", "--target", pid, "timeout", "3", "stdbuf", "-oL", "rpcinfo", "-b", "100005", "3"}
	out, _ := try(t, "nsenter", search...)
	if n := strings.Count(out, "10.9.8.1.8.1"); n < 2 {
		t.Errorf("rpcinfo -b heard %d times of a server at 10.9.8.1.8.1, want 2 at least:\n%s", n, out)
	}
	if out := from("nfs-ls", "-D", "nfs://"); strings.TrimSpace(out) != "nfs://10.9.8.1" {
		t.Errorf("nfs-ls -D found %q, want nfs://10.9.8.1", out)
	}
	if out := from("rpcinfo", "-p", "10.9.8.1"); !strings.Contains(out, "100003") {
		t.Errorf("rpcinfo -p:\n%s", out)
	}
}

// network names the network namespace of a process.
func network(t *testing.T, pid string) string {
	t.Helper()
	name, err := os.Readlink("/proc/" + pid + "/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}
