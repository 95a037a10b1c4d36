//go:build linux

package clients

import (
	"fmt"
	"strings"
	"testing"

	"shoal/test/appliance"
	"shoal/test/netns"
)

// program is one that the appliance serves.
type program struct {
	number, port int
	versions     []int
	netids       []string // over IPv4
}

var programs = []program{
	{100000, 111, []int{2, 3, 4}, []string{"tcp", "udp"}},
	{100003, 2049, []int{3}, []string{"tcp"}},
	{100005, 2049, []int{1, 2, 3}, []string{"tcp", "udp"}},
	{100021, 2049, []int{1, 3, 4}, []string{"tcp", "udp"}},
	{100024, 2049, []int{1}, []string{"tcp", "udp"}},
}

// each calls f for every program in every version over every transport.
func each(f func(p program, version int, netid string)) {
	for _, p := range programs {
		for _, v := range p.versions {
			for _, netid := range p.netids {
				f(p, v, netid)
			}
		}
	}
}

// TestRpcinfo asks for all programs, and calls each in the way that it is told.
func TestRpcinfo(t *testing.T) {
	netns.Require(t)
	appliance.StartDefault(t)
	var version2, version4 []string
	each(func(p program, v int, netid string) {
		version2 = append(version2, fmt.Sprintf("%d %d %s %d", p.number, v, netid, p.port))
		port := fmt.Sprintf("%d.%d", p.port>>8, p.port&0xff)
		version4 = append(version4,
			fmt.Sprintf("%d %d %s 0.0.0.0.%s", p.number, v, netid, port),
			fmt.Sprintf("%d %d %s6 ::.%s", p.number, v, netid, port))
	})
	compare(t, "rpcinfo -p", rows(succeed(t, "rpcinfo", "-p", "127.0.0.1"), 4), version2)
	for _, host := range hosts {
		compare(t, "rpcinfo "+host, rows(succeed(t, "rpcinfo", host), 4), version4)
	}
	each(func(p program, v int, netid string) {
		for _, to := range [][]string{{netid, "127.0.0.1"}, {netid + "6", "::1"}} {
			want := fmt.Sprintf("program %d version %d ready and waiting\n", p.number, v)
			args := []string{"-T", to[0], to[1], fmt.Sprint(p.number), fmt.Sprint(v)}
			if out := succeed(t, "rpcinfo", args...); out != want {
				t.Errorf("rpcinfo %q said %q", args, out)
			}
		}
	})
	for _, test := range []struct{ args, want string }{
		{"-T udp 127.0.0.1 100003 3", "Program not registered"},
		{"-T tcp 127.0.0.1 100003 4", "low version = 3, high version = 3"},
		{"-T tcp 127.0.0.1 100227 3", "Program not registered"}, // ACLs, which Linux asks for
		{"-d 100003 3", "Could not delete registration"},
	} {
		if got := run(t, "rpcinfo", strings.Fields(test.args)...); !got.failed || !strings.Contains(got.out, test.want) {
			t.Errorf("rpcinfo %s: %+v, want a failure with %q", test.args, got, test.want)
		}
	}
}

// TestShowmount lists the exports, and who has mounted what.
func TestShowmount(t *testing.T) {
	netns.Require(t)
	a := appliance.StartDefault(t, "SHOAL_ROUTES=films,with spaces")
	for _, host := range hosts {
		out := succeed(t, "showmount", "--no-headers", "-e", host)
		var paths []string
		for line := range strings.Lines(out) {
			path, who, _ := strings.Cut(line, "(")
			paths = append(paths, strings.TrimSpace(path))
			if who != "everyone)\n" {
				t.Errorf("showmount -e %s says %q", host, line)
			}
		}
		compare(t, "showmount -e "+host, paths, []string{"/", "/films", "/with spaces"})
	}
	a.Call(t, "POST", "/routes", map[string]string{"name": "later"}, 201, nil)
	if out := succeed(t, "showmount", "-e", "127.0.0.1"); !strings.Contains(out, "/later ") {
		t.Errorf("showmount -e does not know a new route:\n%s", out)
	}
	if out := succeed(t, "showmount", "--no-headers", "-a", "127.0.0.1"); out != "" {
		t.Errorf("showmount -a before anybody has mounted: %q", out)
	}
	succeed(t, "nfs-ls", "nfs://127.0.0.1/films")
	succeed(t, "nfs-ls", "nfs://::1/with spaces")
	for option, want := range map[string][]string{
		"-a": {"127.0.0.1:/films", "::1:/with spaces"},
		"-d": {"/films", "/with spaces"},
	} {
		out := succeed(t, "showmount", "--no-headers", option, "127.0.0.1")
		compare(t, "showmount "+option, strings.Split(strings.TrimSpace(out), "\n"), want)
	}
	if out := succeed(t, "showmount", "--no-headers", "::1"); strings.TrimSpace(out) != "127.0.0.1\n::1" {
		t.Errorf("showmount: %q", out)
	}
}

// TestMountProbing runs mount.nfs as far as this machine's kernel takes it, which may have no NFS: all
// that it asks the server for itself comes before.
func TestMountProbing(t *testing.T) {
	netns.Require(t)
	appliance.StartDefault(t)
	at := t.TempDir()
	for _, test := range []struct {
		what, options string
		want          []string // lines, in this order
	}{
		{"127.0.0.1:/", "", []string{"prog 100003 vers 3 prot TCP port 2049", "prog 100005 vers 3 prot UDP port 2049"}},
		{"[::1]:/", "", []string{"prog 100003 vers 3 prot TCP port 2049", "prog 100005 vers 3 prot UDP port 2049"}},
		{"127.0.0.1:/", ",mountproto=tcp", []string{"prog 100003 vers 3 prot TCP port 2049", "prog 100005 vers 3 prot TCP port 2049"}},
		{"[::1]:/", ",mountproto=tcp6", []string{"prog 100003 vers 3 prot TCP port 2049", "prog 100005 vers 3 prot TCP port 2049"}},
	} {
		got := run(t, "mount.nfs", "-v", "-o", "nfsvers=3,nolock"+test.options, test.what, at)
		if !got.failed {
			succeed(t, "umount", at)
		} else if !strings.Contains(got.out, "mount(2): ") {
			t.Errorf("mount.nfs %s%s did not come to mount(2)", test.what, test.options)
		}
		rest := got.out
		for _, want := range test.want {
			var found bool
			if _, rest, found = strings.Cut(rest, want); !found {
				t.Errorf("mount.nfs %s%s did not say %q:\n%s", test.what, test.options, want, got.out)
			}
		}
	}
	got := run(t, "mount.nfs", "-v", "-o", "nfsvers=3,nolock,proto=udp", "127.0.0.1:/", at)
	if !got.failed || !strings.Contains(got.out, "not supported") {
		t.Errorf("mount.nfs over UDP: %+v, want it to be told that there is none", got)
	}
}
