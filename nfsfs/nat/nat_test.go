package nat

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// at is a moment of the tests, in seconds.
func at(s int) time.Time { return time.Unix(int64(s), 0) }

func TestFind(t *testing.T) {
	// A container of Docker, with an address of its own that is not its gateway's.
	container := Network{
		Translators: []netip.Addr{netip.MustParseAddr("172.18.0.1"), netip.MustParseAddr("fd00:18::1"), netip.MustParseAddr("fe80::1")},
		Own:         []netip.Prefix{netip.MustParsePrefix("172.18.0.2/16"), netip.MustParsePrefix("fd00:18::2/64")},
	}
	home := Network{Own: []netip.Prefix{netip.MustParsePrefix("192.168.1.5/24")}}
	slirp := Network{
		Translators: []netip.Addr{netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("10.0.2.100")},
		Own:         []netip.Prefix{netip.MustParsePrefix("10.0.2.100/24")},
	}
	client := func(addr string, machines ...Machine) Client { return Client{netip.MustParseAddr(addr), machines} }
	tv, laptop := Machine{"tv", at(10), at(30)}, Machine{"laptop", at(20), at(40)}
	shared := func(addr string, names ...string) Finding { return Finding{Shared, netip.MustParseAddr(addr), names} }
	gateway := func(addr string) Finding { return Finding{Kind: Gateway, Addr: netip.MustParseAddr(addr)} }

	for _, test := range []struct {
		name    string
		network Network
		direct  bool
		clients []Client
		want    Finding
	}{
		{name: "nobody", network: container},
		{name: "one client at home", network: home, clients: []Client{client("192.168.1.20", tv)}},
		{name: "two at home", network: home, clients: []Client{client("192.168.1.20", tv), client("192.168.1.21", laptop)}},
		{name: "the router, at home", network: home, clients: []Client{client("192.168.1.1", tv)}},
		{name: "a container that sees addresses", network: container, clients: []Client{client("192.168.1.20", tv)}},
		{name: "this machine alone", network: container, clients: []Client{client("127.0.0.1", tv, laptop), client("::1")}},

		{name: "the gateway alone", network: container, clients: []Client{client("172.18.0.1", tv)}, want: gateway("172.18.0.1")},
		{name: "without a name", network: container, clients: []Client{client("172.18.0.1")}, want: gateway("172.18.0.1")},
		{name: "as IPv6 has it", network: container, clients: []Client{client("::ffff:172.18.0.1")}, want: gateway("172.18.0.1")},
		{name: "over IPv6", network: container, clients: []Client{client("fd00:18::1", tv)}, want: gateway("fd00:18::1")},
		{name: "link-local", network: container, clients: []Client{client("fe80::1%eth0", tv)}, want: gateway("fe80::1")},
		{name: "beside the health check", network: container, clients: []Client{client("127.0.0.1"), client("172.18.0.1")}, want: gateway("172.18.0.1")},
		{name: "beside another one", network: container, clients: []Client{client("172.18.0.1", tv), client("192.168.1.20", laptop)}},
		{name: "beside another container", network: container, clients: []Client{client("172.18.0.1", tv), client("172.18.0.3", laptop)}},
		{name: "while others come as themselves", network: container, direct: true, clients: []Client{client("172.18.0.1", tv)}},
		{name: "slirp4netns", network: slirp, clients: []Client{client("10.0.2.100", tv)}, want: gateway("10.0.2.100")},

		{name: "two machines", network: container, clients: []Client{client("172.18.0.1", tv, laptop)}, want: shared("172.18.0.1", "laptop", "tv")},
		{name: "two, and others as themselves", network: container, direct: true, clients: []Client{client("172.18.0.1", tv, laptop)}, want: shared("172.18.0.1", "laptop", "tv")},
		{name: "two behind another router", network: home, clients: []Client{client("192.168.1.7", laptop, tv), client("192.168.1.8", tv)}, want: shared("192.168.1.7", "laptop", "tv")},
		{name: "more of them elsewhere", network: home, clients: []Client{
			client("192.168.1.9", tv, laptop), client("192.168.1.7", tv, laptop, Machine{"phone", at(15), at(25)}), client("192.168.1.8", tv, laptop),
		}, want: shared("192.168.1.7", "laptop", "phone", "tv")},
		{name: "the same, whatever their order", network: home, clients: []Client{client("192.168.1.9", tv, laptop), client("192.168.1.7", tv, laptop)}, want: shared("192.168.1.7", "laptop", "tv")},
		{name: "containers of this machine", network: home, clients: []Client{client("192.168.1.5", tv, laptop)}},

		{name: "a new name", network: home, clients: []Client{client("192.168.1.20", tv, Machine{"living-room", at(30), at(90)})}},
		{name: "an address that went on", network: home, clients: []Client{client("192.168.1.20", tv, Machine{"laptop", at(31), at(90)})}},
		{name: "a name, and once another one", network: home, clients: []Client{client("192.168.1.20", tv, Machine{"laptop", at(20), at(20)})}, want: shared("192.168.1.20", "laptop", "tv")},
		{name: "a domain that comes and goes", network: home, clients: []Client{client("192.168.1.20", tv, Machine{"TV.lan", at(15), at(45)}, Machine{"tv.local", at(15), at(45)})}},
		{name: "a player with libnfs", network: home, clients: []Client{client("192.168.1.20", tv, Machine{"libnfs", at(1), at(50)})}},
		{name: "players with libnfs at the gateway", network: container, clients: []Client{client("172.18.0.1", Machine{"libnfs", at(1), at(50)})}, want: gateway("172.18.0.1")},
		{name: "a name that came late", network: home, clients: []Client{client("192.168.1.20", tv, Machine{"localhost.localdomain", at(5), at(50)}, Machine{"(none)", at(4), at(50)})}},
	} {
		got, ok := Find(test.clients, test.network, test.direct)
		if !reflect.DeepEqual(got, test.want) || ok != (test.want.Kind != "") {
			t.Errorf("%s: found %+v, %v; want %+v", test.name, got, ok, test.want)
		}
	}
}
