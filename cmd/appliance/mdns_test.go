package main

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func TestInContainer(t *testing.T) {
	tests := []struct {
		file, variable, want string
	}{
		{"", "", ""},
		{"/.dockerenv", "", "/.dockerenv"},
		{"/run/.containerenv", "", "/run/.containerenv"},
		{"", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_HOST"},
	}
	for _, test := range tests {
		got := inContainer(
			func(path string) bool { return path == test.file },
			func(name string) string { return strings.Repeat("x", strings.Count(test.variable, name)) },
		)
		if got != test.want {
			t.Errorf("with %q and %q: %q, want %q", test.file, test.variable, got, test.want)
		}
	}
}

func TestWithoutMDNS(t *testing.T) {
	tests := []struct {
		setting, container string
		on                 bool
	}{
		{"auto", "", true},
		{"auto", "/.dockerenv", false},
		{"true", "/.dockerenv", true},
		{"1", "", true},
		{"false", "", false},
		{"0", "/.dockerenv", false},
	}
	for _, test := range tests {
		if why := withoutMDNS(test.setting, test.container); (why == "") != test.on {
			t.Errorf("MDNS=%s in container %q: %q, want on: %t", test.setting, test.container, why, test.on)
		}
	}
}

// TestNewResponder: what nobody else can reach is not told of.
func TestNewResponder(t *testing.T) {
	lan, loopback := netip.MustParseAddrPort("[::]:2049"), netip.MustParseAddrPort("127.0.0.1:4444")
	tests := []struct {
		what         string
		setting      string
		export, site netip.AddrPort
		on           bool
		log          string
	}{
		{"both", "true", lan, lan, true, ""},
		{"the export", "true", lan, loopback, true, ""},
		{"neither", "true", loopback, netip.MustParseAddrPort("[::1]:1"), false, "only this machine can connect"},
		{"neither wanted", "false", lan, lan, false, "SHOAL_MDNS is false"},
	}
	for _, test := range tests {
		var out bytes.Buffer
		cfg := &Config{MDNS: test.setting, HTTPBasePath: "/"}
		got := newResponder(cfg, test.export, test.site, slog.New(slog.NewTextHandler(&out, nil)))
		if (got != nil) != test.on || !strings.Contains(out.String(), test.log) || test.on != (out.Len() == 0) {
			t.Errorf("%s: %v, and in the log %q", test.what, got, out.String())
		}
	}
}
