package torrents

import (
	"context"
	"net/url"
	"strings"
	"testing"
)

func TestTrackerURL(t *testing.T) {
	for address, want := range map[string]string{
		"http://tracker.example/announce":         "http://tracker.example/announce",
		"HTTP://tracker.example:80/a?key=1":       "http://tracker.example:80/a?key=1",
		"https://tracker.example/a b":             "https://tracker.example/a%20b",
		"udp://tracker.example:1337":              "udp://tracker.example:1337",
		"http://[::1]:1/announce":                 "http://[::1]:1/announce",
		"http://tracker.example/%7euser/announce": "http://tracker.example/%7euser/announce",

		"":                                   "",
		"tracker.example":                    "",
		"http://[":                           "",
		"http:///announce":                   "",
		"dht://tracker.example":              "",
		"wss://tracker.example":              "",
		"udp4://tracker.example:1":           "",
		"http://user:secret@tracker.example": "",
		"*http://tracker.example/announce":   "",
	} {
		got, err := trackerURL(address)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("trackerURL(%q) is %q, %v; want %q", address, got, err, want)
		}
	}
}

// FuzzTrackerAddress joins the swarm with trackers of any address: the engine must not panic.
func FuzzTrackerAddress(f *testing.F) {
	for _, address := range []string{
		"foo://x/", "HTTP://127.0.0.1:1/a", "http://a:b@127.0.0.1:1/a", "http://127.0.0.1:1/a b", "http://127.0.0.1:1/%zz",
		"http://127.0.0.1:1/a#b%20c", "http://127.0.0.1:1?#", "http://127.0.0.1:1/%7f?",
	} {
		f.Add(address)
	}
	l := mustOpen(f, testOptions(f, newRecorder()))
	f.Fuzz(func(t *testing.T, address string) {
		// Nothing but loopback is asked, whatever the fuzzer finds. The engine keeps the socket of a UDP
		// tracker for ever, and here a leak is a failure.
		if u, err := url.Parse(address); err == nil && (u.Scheme == "udp" || u.Host != "" && u.Hostname() != "127.0.0.1") {
			return
		}
		link := "magnet:?xt=urn:btih:" + strings.Repeat("0f", 20)
		parsed, err := parseMagnet(link)
		if err != nil {
			t.Fatal(err)
		}
		parsed.trackers = []string{address}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = l.swarm.resolve(ctx, parsed) // it ends at once
	})
}
