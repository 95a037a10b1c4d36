package main

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"shoal/mdns"
)

// newResponder returns what tells the local network of the export and the site, which listen at these addresses; nil if nothing is
// to be told, which is logged with the reason.
func newResponder(cfg *Config, export, site netip.AddrPort, log *slog.Logger) *mdns.Responder {
	if why := withoutMDNS(cfg.MDNS, inContainer(exists, os.Getenv)); why != "" {
		log.Info("nothing is advertised by mDNS", "reason", why)
		return nil
	}
	services := []mdns.Service{
		{Type: "_nfs._tcp", Text: []string{"path=/"}, Addr: export},
		{Type: "_http._tcp", Text: []string{"path=" + strings.TrimSuffix(cfg.HTTPBasePath, "/") + "/"}, Addr: site},
	}
	services = slices.DeleteFunc(services, func(s mdns.Service) bool { return s.Addr.Addr().Unmap().IsLoopback() })
	if len(services) == 0 {
		log.Info("nothing is advertised by mDNS", "reason", "only this machine can connect")
		return nil
	}
	machine, _ := os.Hostname() // one without a name is just called Shoal
	var without []string
	if cfg.BTInterface != "" {
		without = append(without, cfg.BTInterface) // strangers are on it
	}
	return mdns.New(mdns.Options{
		Machine: machine, Services: services, Without: without, Logger: log,
		// From the network of an address that may not mount, nobody may: that is not the local one.
		Tell: func(addr netip.Addr) bool {
			return slices.ContainsFunc(cfg.NFSAllow, func(p netip.Prefix) bool { return p.Contains(addr) })
		},
	})
}

// withoutMDNS says why nothing is to be told; empty is that something is.
func withoutMDNS(setting, container string) string {
	on, err := strconv.ParseBool(setting)
	switch {
	case err == nil && !on:
		return prefix + "MDNS is " + setting
	case err != nil && container != "": // auto
		return "this is a container (" + container + "), whose network nobody else may be on; should it have one of its own on the " +
			"local network, or that of the host, set " + prefix + "MDNS=true"
	default:
		return ""
	}
}

// inContainer returns what shows that this is a container, or nothing. Whether that has a network of its own cannot be told from inside.
func inContainer(exists func(path string) bool, getenv func(string) string) string {
	for _, path := range []string{"/.dockerenv", "/run/.containerenv"} { // of Docker, and Podman
		if exists(path) {
			return path
		}
	}
	if name := "KUBERNETES_SERVICE_HOST"; getenv(name) != "" {
		return name
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// checkMDNS says what is wrong with the setting.
func (c *Config) checkMDNS(mistake func(name, format string, args ...any)) {
	if _, err := strconv.ParseBool(c.MDNS); err != nil && c.MDNS != auto {
		mistake("MDNS", "%.40q has to be auto, true or false", c.MDNS)
	}
}

// addrPort is where a TCP server listens.
func addrPort(l net.Listener) netip.AddrPort {
	if addr, ok := l.Addr().(*net.TCPAddr); ok {
		return addr.AddrPort()
	}
	return netip.AddrPort{}
}
