//go:build linux

package browser_test

import (
	"regexp"
	"testing"

	"shoal/test/browser"
)

// notChanged is what each page says while the password is the one of the first start.
const notChanged = "The password is still the one that Shoal made."

// generated returns the password that the log of the first start has.
func (p *person) generated() string {
	p.t.Helper()
	found := regexp.MustCompile(`password=(\S+)`).FindStringSubmatch(p.a.Log())
	if found == nil {
		p.t.Fatalf("the log has no password:\n%s", p.a.Log())
	}
	return found[1]
}

// changePassword follows the way that the pages show to who has not changed it yet.
func (p *person) changePassword(from, to string) {
	p.t.Helper()
	p.Follow("Change it")
	p.Fill("Current password", from)
	p.Fill("New password", to)
	p.Click("Change the password")
}

// TestFirstLogin logs in with the password of the log, changes it, and logs in with the new one.
func TestFirstLogin(t *testing.T) {
	p := visit(t)
	first := p.generated()
	p.Allow(`status 401: POST .*/(login|settings/password)`)
	p.logIn("wrong password")
	p.AwaitText("password is wrong", soon)
	p.CheckAccessible()
	p.Screenshot("login")

	p.logIn(first)
	p.AwaitText(notChanged, soon)
	p.Screenshot("first-login")
	p.changePassword("wrong password", password)
	p.AwaitText("The current password is wrong.", soon)
	p.Fill("Current password", first)
	p.Fill("New password", password)
	p.Click("Change the password")
	p.AwaitText("The password is changed.", soon)
	p.In("nav").Follow("Overview")
	p.In("h1").AwaitText("Overview", soon)
	if p.Has(notChanged) {
		t.Error("the site still wants the password to be changed")
	}
	p.CheckAccessible()

	p.Click("Log out")
	p.AwaitText("Log in", soon)
	p.Go(p.home + "/torrents?q=film")
	p.Fill("User", "admin")
	p.Fill("Password", first)
	p.Click("Log in")
	p.AwaitText("password is wrong", soon)
	p.Fill("Password", password)
	p.Click("Log in")
	p.AwaitPath("/torrents?q=film")
}

// TestSessionEnds has pages open in one browser while another one changes the password: each of them leads to the login, and from
// there back to itself.
func TestSessionEnds(t *testing.T) {
	live := visit(t, "SHOAL_ROUTES=films")
	first := live.generated()
	live.logIn(first)
	live.AwaitText(notChanged, soon)
	list, form := live.another(), live.another()
	live.Go(live.home + "/connect")
	list.Go(list.home + "/torrents?state=paused")
	form.Go(form.home + "/settings") // nothing changes there by itself

	elsewhere := &person{t: t, a: live.a, home: live.home, Tab: browser.Open(t).NewTab()}
	elsewhere.logIn(first)
	elsewhere.changePassword(first, password)
	elsewhere.AwaitText("All other sessions have ended.", soon)

	form.In("#limits").Fill("From peers", "2MiB")
	form.In("#limits").Click("Save")
	form.AwaitPath("/login")
	for _, ended := range []*person{live, list} {
		ended.Allow("status 401: (GET|HEAD) ") // the stream, and why it ended
	}
	list.AwaitPath("/login?next=%2Ftorrents%3Fstate%3Dpaused")
	live.AwaitPath("/login?next=%2Fconnect")
	live.Fill("User", "admin")
	live.Fill("Password", password)
	live.Click("Log in")
	live.AwaitPath("/connect")
	live.In("#mounted").AwaitText("Waiting for your machine", soon)
}
