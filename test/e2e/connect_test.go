//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"shoal/test/browser"
)

// TestConnect copies the commands of the page Connect, as a person does, into a Linux that is another machine, and looks whether the page
// says that it has mounted. The first time it mounts a route by the portmapper, then all of them without one, at another port.
func TestConnect(t *testing.T) {
	for _, test := range []struct {
		name  string
		env   []string
		route string // as the page names it
		file  string // below what is mounted
	}{
		{"a route", nil, "my films", "film.mkv"},
		{"all, at another port", []string{"SHOAL_NFS_ADDR=:2050", "SHOAL_PORTMAP_ADDR=off"}, "All routes", "my films/film.mkv"},
	} {
		t.Run(test.name, func(t *testing.T) {
			const password = "a password of the test"
			image, a := guestOn(t, append(test.env, "SHOAL_ROUTES=my films", "SHOAL_ADMIN_PASSWORD="+password)...)
			film := random("", 1<<20+7)
			a.AddComplete(t, "my films", "film.mkv", film)
			tab := browser.Open(t).NewTab()
			home := fmt.Sprintf("http://127.0.0.1:%d", a.HTTPPort)
			tab.Go(home + "/connect")
			tab.Fill("User", "admin")
			tab.Fill("Password", password)
			tab.Click("Log in")
			// The browser reaches Shoal by an address that means something else to the other machine.
			tab.In("main").AwaitText("Other machines cannot reach 127.0.0.1", 20*time.Second)
			tab.Fill("Name or address of this server", near4)
			tab.Choose("Route", test.route)
			tab.Click("Show")
			tab.In("#mounted").AwaitText("Waiting for your machine to mount", 20*time.Second)
			var commands []string
			for _, what := range []string{"Make the folder", "Mount"} {
				tab.In("#linux").Click("Copy: " + what)
				commands = append(commands, tab.Copy())
			}
			tab.Screenshot("connect-waiting")

			vm := image.Start(t, joinNetwork+beginJob+strings.Join(commands, "\n")+`
				part sums; cd /mnt/shoal && sha256sum '`+test.file+`'
				part mounted; read -r line
				cd / && umount /mnt/shoal || echo "umount: $?"`, network(t))
			if _, err := vm.WaitLine(deadline(t), "@ mounted"); err != nil {
				t.Fatalf("with the commands %q: %v\n%s", commands, err, vm.Output())
			}
			tab.In("#mounted").AwaitText("✓ "+far4+" has mounted", 20*time.Second)
			tab.CheckAccessible()
			tab.Screenshot("connect-mounted")
			if err := vm.Send("go on"); err != nil {
				t.Fatal(err)
			}
			out := parts(runJob(t, vm))
			if got := guestSums(out["sums"])[test.file]; got != sumOf(film) {
				t.Errorf("with the commands %q, the guest reads a file with the sum %q, want %q", commands, got, sumOf(film))
			}
			t.Logf("the commands %q worked", commands)
		})
	}
}
