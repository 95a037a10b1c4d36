//go:build linux

package browser

import (
	"context"
	"fmt"
	"html"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

const soon = 10 * time.Second

// sitePage is a page that can be used in all ways that there are.
const sitePage = `<!doctype html><html lang="en"><head><title>Site</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css">
<meta name="viewport" content="width=device-width"><script src="/script.js" defer></script></head><body><main><h1>A site</h1>
<form method="post" action="/form" enctype="multipart/form-data">
 <label>Name <input name="name" value="old"></label>
 <label for="note">Note</label><textarea id="note" name="note"></textarea>
 <input name="search" type="search" aria-label="Search">
 <label><input type="checkbox" name="pin"> Pin it</label>
 <label><input type="radio" name="size" value="s" checked> Small</label> <label><input type="radio" name="size" value="l"> Large</label>
 <label>Route <select name="route"><option value="1">films</option><option value="2">music</option></select></label>
 <label>Files <input type="file" name="files" multiple></label>
 <button>Send</button> <button disabled type="button">Later</button>
</form>
<div class="covered"><button type="button">Under it</button><div class="cover"></div></div>
<p hidden><button>Nobody sees this</button></p>
<ul><li class="a">alpha <button type="button" class="count">Count</button></li><li class="b">beta <button type="button" class="count">Count</button></li></ul>
<button type="button" id="copy">Copy the line</button> <button type="button" id="open">Open</button>
<button type="button" id="ask">Ask</button> <a href="/second">A second page</a>
<dialog><p>Really?</p><form method="dialog"><button>Send</button></form></dialog>
<p id="drop">Drop here</p><p id="said">Nothing yet</p></main></body></html>`

const siteScript = `
const said = document.getElementById("said");
document.addEventListener("paste", (e) => { said.textContent = "pasted " + e.isTrusted + " " + e.clipboardData.getData("text/plain"); });
const drop = document.getElementById("drop");
drop.addEventListener("dragover", (e) => e.preventDefault());
drop.addEventListener("drop", async (e) => {
  e.preventDefault();
  const texts = await Promise.all([...e.dataTransfer.files].map(async (f) => f.name + "=" + await f.text()));
  said.textContent = "dropped " + e.isTrusted + " " + texts.join(",") + e.dataTransfer.getData("text/plain");
});
document.querySelectorAll(".count").forEach((b) => b.addEventListener("click", (e) => {
  said.textContent = "counted " + e.isTrusted + " " + b.parentElement.className;
}));
document.getElementById("copy").addEventListener("click", () => navigator.clipboard.writeText("mount -t nfs here:/ /mnt"));
document.getElementById("open").addEventListener("click", () => document.querySelector("dialog").showModal());
document.getElementById("ask").addEventListener("click", () => { said.textContent = "answer " + confirm("Sure?"); });
document.querySelector("[name=search]").addEventListener("keydown", (e) => { if (e.key === "Enter") { e.preventDefault(); said.textContent = "search " + e.target.value; } });
setTimeout(() => { document.querySelector("h1").textContent = "A site that is late"; }, 200);
`

const siteStyle = `
:root { color-scheme: light dark; background: white; color: black; }
@media (prefers-color-scheme: dark) { :root { background: black; color: white; } a { color: cyan } }
.covered { position: relative; } .cover { position: absolute; inset: 0; background: gray; }
`

// site serves sitePage and some that are not in order.
func site(t *testing.T) string {
	mux := http.NewServeMux()
	serve := func(path, kind, content string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; img-src data:")
			w.Header().Set("Cache-Control", "max-age=600")
			fmt.Fprint(w, content)
		})
	}
	document := func(body string) string {
		return `<!doctype html><html lang="en"><head><title>T</title><link rel="icon" href="data:,"></head><body><main><h1>T</h1>` + body + "</main></body></html>"
	}
	serve("/{$}", "text/html", sitePage)
	serve("/script.js", "text/javascript", siteScript)
	serve("/style.css", "text/css", siteStyle)
	serve("/second", "text/html", document("The second page"))
	serve("/inline", "text/html", document("<script>document.title = 'x'</script>"))
	serve("/console", "text/html", document(`<script src="/console.js"></script>`))
	serve("/console.js", "text/javascript", "console.error('planted', 7)")
	serve("/throws", "text/html", document(`<script src="/throws.js"></script>`))
	serve("/throws.js", "text/javascript", "null.planted")
	serve("/missing", "text/html", document(`<script src="/nowhere.js"></script>`))
	serve("/foreign", "text/html", document(`<script src="http://127.0.0.2:9/x.js"></script>`))
	serve("/asks", "text/html", document(`<script src="/asks.js"></script>`))
	serve("/asks.js", "text/javascript", "alert('planted')")
	serve("/unnamed", "text/html", document(`<input id="unnamed"><img src="data:,">`))
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			t.Errorf("the form: %v", err)
			return
		}
		time.Sleep(300 * time.Millisecond) // the next action must not find the old page
		var files []string
		for _, h := range r.MultipartForm.File["files"] {
			f, err := h.Open()
			if err != nil {
				t.Error(err)
				continue
			}
			b, _ := io.ReadAll(f)
			f.Close()
			files = append(files, h.Filename+"="+string(b))
		}
		fmt.Fprint(w, document(html.EscapeString(fmt.Sprint(r.PostForm, files))+`<a href="/">Send</a>`))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// file makes a file.
func file(t *testing.T, name, content string) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTab uses a page as a person does.
func TestTab(t *testing.T) {
	url := site(t)
	b := Open(t)
	tab := b.NewTab()
	tab.Go(url + "/")
	said := func(want string) {
		t.Helper()
		tab.In("#said").AwaitText(want, soon)
	}
	tab.AwaitText("A site that is late", soon)

	tab.Paste("magnet:?xt=1\nmagnet:?xt=2 ü")
	said("pasted true magnet:?xt=1 magnet:?xt=2 ü")
	tab.DropFiles("#drop", file(t, "a.torrent", "A"), file(t, "b.torrent", "B"))
	said("dropped true a.torrent=A,b.torrent=B")
	tab.DropText("#drop", "magnet:?xt=3")
	said("dropped true magnet:?xt=3")
	tab.Click("Copy the line")
	if got := tab.Copy(); got != "mount -t nfs here:/ /mnt" {
		t.Errorf("the clipboard has %q", got)
	}
	tab.In("li:has(+ li)").Click("Count")
	said("counted true a")
	tab.In("li.b").Click("Count")
	said("counted true b")
	tab.Fill("Search", "words")
	tab.Press(kb.Enter)
	said("search words")
	tab.AcceptDialogs()
	tab.Click("Ask")
	said("answer true")
	tab.Click("Open")
	tab.Click("Send") // that of the dialog, not the form's
	tab.Await("!document.querySelector('dialog').open", soon)

	for _, test := range []struct{ what, want string }{
		{"Under it", "in front of it"}, {"Nobody sees this", "none named so"}, {"Later", "disabled"}, {"Count", "2 are named so"},
	} {
		err := tab.within(Limit, func(ctx context.Context) error { _, err := tab.locate(ctx, kindPress, test.what); return err })
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("click on %q: %v, want %q", test.what, err, test.want)
		}
	}

	tab.Fill("Name", "new <b>")
	tab.Fill("Note", "two\nlines")
	tab.Tick("Pin it")
	tab.Tick("Pin it") // it is
	tab.Tick("Large")
	tab.Choose("Route", "music")
	tab.Attach("Files", file(t, "c.torrent", "C"))
	tab.Click("Send")
	const answer = "map[name:[new <b>] note:[two lines] pin:[on] route:[2] search:[words] size:[l]] [c.torrent=C]"
	if got := tab.Text("main"); !strings.Contains(got, answer) {
		t.Errorf("the form's answer is %q, want %q", got, answer)
	}
	tab.Click("Send") // the answer's link
	tab.Follow("A second page")
	if got := tab.Text("main"); got != "T The second page" || tab.URL() != url+"/second" {
		t.Errorf("%s shows %q", tab.URL(), got)
	}
}

// TestProblems plants mistakes in pages, each of which has to be found.
func TestProblems(t *testing.T) {
	url := site(t)
	b := Open(t)
	for _, test := range []struct{ page, want string }{
		{"/inline", "security: .*inline script"},
		{"/console", `console: "planted" 7`},
		{"/throws", "uncaught: TypeError: .*planted"},
		{"/missing", "status 404: GET .*/nowhere.js"},
		{"/foreign", "request to another site: GET http://127.0.0.2:9/x.js"},
		{"/asks", `the page asks \(alert\): planted`},
	} {
		tab := b.NewTab()
		tab.Go(url + test.page)
		if got := tab.Problems(); !slices.ContainsFunc(got, regexp.MustCompile(test.want).MatchString) {
			t.Errorf("%s: the problems are %q, want %q", test.page, got, test.want)
		}
		tab.Allow(".")
		if got := tab.Problems(); len(got) > 0 {
			t.Errorf("%s: allowed, the problems are still %q", test.page, got)
		}
	}
	quiet := b.NewTab()
	quiet.Go(url + "/")
	if got := quiet.Problems(); len(got) > 0 {
		t.Errorf("the problems of a page in order are %q", got)
	}
	quiet.NoScript(true)
	quiet.Go(url + "/throws")
	quiet.Go(url + "/")
	if got := quiet.Text("#said"); got != "Nothing yet" {
		t.Errorf("without scripts, the page says %q", got)
	}
	quiet.Fill("Name", "no script")
	quiet.Click("Send")
	if got := quiet.Text("main"); !strings.Contains(got, "name:[no script]") {
		t.Errorf("without scripts, the form's answer is %q", got)
	}
}

// TestLook looks at a page: its colours, its size, its weight, and whether all can use it.
func TestLook(t *testing.T) {
	url := site(t)
	tab := Open(t).NewTab()
	tab.Go(url + "/")
	tab.CheckAccessible()
	for _, test := range []struct {
		prefer func()
		want   string
	}{{tab.Dark, "rgb(0, 0, 0)"}, {tab.Light, "rgb(255, 255, 255)"}} {
		test.prefer()
		var got string
		if tab.Eval("getComputedStyle(document.documentElement).backgroundColor", &got); got != test.want {
			t.Errorf("the background is %s, want %s", got, test.want)
		}
	}
	tab.Resize(390, 844)
	var width int
	if tab.Eval("innerWidth", &width); width != 390 {
		t.Errorf("the page is %d wide on a phone, want 390", width)
	}
	f, err := os.Open(tab.Screenshot("look"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if picture, err := png.DecodeConfig(f); err != nil || picture.Width != 390 {
		t.Errorf("the screenshot is %d wide (%v), want 390", picture.Width, err)
	}

	tab.Go(url + "/")
	weights := tab.Weights()
	if len(weights) != 2 {
		t.Fatalf("the weights are %+v, want those of two pages", weights)
	}
	all := len(sitePage) + len(siteScript) + len(siteStyle)
	if w := weights[0]; w.URL != url+"/" || w.Requests != 3 || w.Bytes < all || w.Bytes > all+2000 {
		t.Errorf("the first weight is %+v, want 3 requests for %d bytes and headers", w, all)
	}
	if w := weights[1]; w.Bytes > weights[0].Bytes/2 {
		t.Errorf("the second weight is %+v: it should come from the cache", w)
	}
	tab.NoCache()
	tab.Go(url + "/")
	if w := tab.Weights()[2]; w.Bytes < all {
		t.Errorf("without the cache the weight is %+v, want at least %d bytes", w, all)
	}

	tab.Go(url + "/unnamed")
	found := tab.Axe()
	for _, rule := range []string{"label", "image-alt"} {
		if !slices.ContainsFunc(found, func(v Violation) bool { return v.Rule == rule && v.Impact == "critical" && len(v.Nodes) == 1 }) {
			t.Errorf("axe finds no %s in %v", rule, found)
		}
	}
	t.Log(found)
}
