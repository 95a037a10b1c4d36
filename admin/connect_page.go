package admin

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/guard"
	"shoal/admin/locale"
)

var connectPage = page{name: "connect", parts: []string{"missing", "mounted"}, ofClient: true}

// connectView is how another machine mounts, with the address that it needs for that.
type connectView struct {
	Host      string
	Port      int
	Route     string // "" for all of them
	Routes    []string
	Local     bool       // other machines cannot reach Host
	Addresses []hostLink // that they could reach instead
	Missing   []alert
	Recipes   []recipe
	Mounted   []mounted
}

// hostLink leads to the same page with another host.
type hostLink struct{ Host, Link string }

// mounted is a client that has mounted a folder.
type mounted struct {
	Client  netip.Addr
	Machine string // what it calls itself
	Path    string
	Since   time.Time
	Here    bool // the machine that the browser runs on
}

const (
	// maxMounted and maxAddresses are how many of these are shown.
	maxMounted   = 20
	maxAddresses = 8
	// refusedLately is how long ago somebody was refused to be told of.
	refusedLately = 15 * time.Minute
)

func (s *server) registerConnect(r *mux.Router) {
	s.handlePage(r, "/connect", connectPage, s.viewConnect)
}

func (s *server) viewConnect(r *http.Request) (any, error) {
	v := connectView{Port: s.export.Port, Route: r.FormValue("route")}
	for _, route := range s.library.Routes() {
		v.Routes = append(v.Routes, route.Name)
	}
	if v.Route != "" && !slices.Contains(v.Routes, v.Route) {
		return nil, &requestError{http.StatusNotFound, "There is no route " + strconv.Quote(v.Route) + "."}
	}
	var err error
	if v.Host, err = s.mountHost(r); err != nil {
		return nil, err
	}
	if port := strings.TrimSpace(r.FormValue("port")); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, badRequest("%.40q is not a port: it has to be a number from 1 to 65535.", port)
		}
		v.Port = int(n)
	}
	if v.Local = isLocalHost(v.Host); v.Local {
		for _, addr := range s.ownAddresses() {
			link, _ := query(s.url("/connect"), "host", addr, "route", v.Route, "port", r.FormValue("port")) // pairs
			v.Addresses = append(v.Addresses, hostLink{addr.String(), link})
		}
	}
	target := mountTarget{
		host: v.Host, port: v.Port, path: "/" + v.Route, plain: s.export.Portmapped && s.export.Port == nfsPort && v.Port == nfsPort,
	}
	v.Recipes = target.recipes(likelyRecipe(r.UserAgent()))
	here, clients := guard.ClientAddr(r), s.seenClients()
	v.Missing = s.missing(s.locale(r), here, s.seenNAT())
	v.Mounted = mountedBy(clients, here)
	return v, nil
}

// nfsPort is where clients look for NFS first.
const nfsPort = 2049

// mountHost is the host in the commands: the one that was asked for, or that of the site, or an address of this machine.
func (s *server) mountHost(r *http.Request) (string, error) {
	if wanted := strings.TrimSpace(r.FormValue("host")); wanted != "" {
		host, ok := parseMountHost(wanted)
		if !ok {
			return "", badRequest("%.80q is neither a host name nor an IP address.", wanted)
		}
		return host, nil
	}
	if host, ok := parseMountHost(guard.Host(r)); ok {
		return host, nil
	}
	for _, addr := range s.ownAddresses() {
		return addr.String(), nil
	}
	return "localhost", nil
}

// parseMountHost returns a host name, or an IP address without brackets, as it can be in a command.
func parseMountHost(s string) (string, bool) {
	s = strings.ToLower(s)
	if inside, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inside, "]") {
		s = strings.TrimSuffix(inside, "]")
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		zone := addr.Zone() // netip takes anything for one
		return addr.String(), zone == "" || guard.CheckHost(zone) == nil && zone[0] != '*'
	}
	// An address would be one, and an option would begin with a hyphen.
	if s == "" || strings.Trim(s, "0123456789.") == "" || s[0] == '-' || s[0] == '*' || guard.CheckHost(s) != nil {
		return "", false
	}
	return strings.TrimSuffix(s, "."), true
}

// isLocalHost says whether a host means another machine on each machine.
func isLocalHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost" || strings.HasSuffix(host, ".localhost")
	}
	return addr.IsLoopback() || addr.IsUnspecified()
}

// ownAddresses are those at which other machines may reach the export.
func (s *server) ownAddresses() []netip.Addr {
	if at := s.export.Addr; at.IsValid() && !at.IsUnspecified() {
		return reachable([]net.Addr{&net.IPNet{IP: at.AsSlice()}})
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		s.log.Warn("the addresses of this machine cannot be listed", "err", err)
	}
	return reachable(all)
}

// reachable are the addresses that others can use, IPv4 first.
func reachable(all []net.Addr) []netip.Addr {
	var list []netip.Addr
	for _, a := range all {
		ipNet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		// IsGlobalUnicast is true for private ones, and false for loopback and link-local ones.
		if addr, ok := netip.AddrFromSlice(ipNet.IP); ok && addr.Unmap().IsGlobalUnicast() {
			list = append(list, addr.Unmap())
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	list = slices.Compact(list)
	return list[:min(len(list), maxAddresses)]
}

// missing is what keeps clients from mounting, in words. here is the address that the browser comes from.
func (s *server) missing(l *locale.Locale, here netip.Addr, nat *NAT) []alert {
	var list []alert
	if at := s.export.Addr; at.IsLoopback() {
		list = append(list, alert{Text: l.T("connect.loopback", at), Bad: true})
	}
	if !s.export.Portmapped {
		list = append(list, alert{Text: l.T("connect.no_portmapper")})
	} else if s.export.Port != nfsPort {
		list = append(list, alert{Text: l.T("connect.other_port", s.export.Port)})
	}
	if here.IsValid() && !s.mayMount(here) {
		list = append(list, alert{Text: l.T("connect.not_allowed", here, s.allowWith(here)), Bad: true})
	}
	for _, refused := range s.refused() {
		if refused.Addr != here && time.Since(refused.LastSeen) < refusedLately && !s.mayMount(refused.Addr) {
			list = append(list, alert{Text: l.T("connect.refused", refused.Addr, s.allowWith(refused.Addr)), Bad: true})
			break // the others are on the page of clients
		}
	}
	if nat != nil {
		list = append(list, alert{Text: nat.what(l) + " " + nat.remedy(l)})
	}
	return list
}

// mayMount says whether a client may mount and read.
func (s *server) mayMount(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("") // no prefix has one
	return slices.ContainsFunc(s.export.Allow, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// allowWith is the setting that lets one more address mount.
func (s *server) allowWith(addr netip.Addr) string {
	var b strings.Builder
	b.WriteString("SHOAL_NFS_ALLOW=")
	for _, p := range s.export.Allow {
		b.WriteString(p.String())
		b.WriteByte(',')
	}
	addr = addr.Unmap().WithZone("")
	b.WriteString(netip.PrefixFrom(addr, addr.BitLen()).String())
	return b.String()
}

// mountedBy lists what clients have mounted, the latest first.
func mountedBy(clients []Client, here netip.Addr) []mounted {
	var list []mounted
	for _, c := range clients {
		for _, m := range c.Mounts {
			list = append(list, mounted{
				Client: c.Addr, Machine: visible(c.Machine), Path: visible(m.Path), Since: m.Since, Here: here.IsValid() && c.Addr.Unmap() == here,
			})
		}
	}
	slices.SortStableFunc(list, func(a, b mounted) int {
		return cmp.Or(b.Since.Compare(a.Since), a.Client.Compare(b.Client), strings.Compare(a.Path, b.Path))
	})
	return list[:min(len(list), maxMounted)]
}
