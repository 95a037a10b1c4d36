package torrents

import (
	"context"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestRecogniseLink(t *testing.T) {
	for link, want := range map[string]PreviewKind{
		"magnet:?xt=urn:btih:x": PreviewMagnet, " MAGNET:?dn=x\n": PreviewMagnet,
		"http://x/": PreviewURL, "\tHTTPS://x/": PreviewURL,
		strings.Repeat("aB", 20): PreviewInfohash, " " + strings.Repeat("0", 64): PreviewInfohash,
		strings.Repeat("MZxw", 8): PreviewInfohash,
		"":                        "", "file:///etc/passwd": "", "ftp://x/": "", "javascript:alert(1)": "", "x": "",
		strings.Repeat("g", 40): "", strings.Repeat("1", 32): "", strings.Repeat("A", 31) + "=": "", strings.Repeat("a", 41): "",
		"ABCDEFGHABCDEFGH\nABCDEFGHABCDEFG": "",
	} {
		got, err := RecogniseLink(link)
		if _, bad := errors.AsType[*InputError](err); got != want || bad != (want == "") {
			t.Errorf("%q is taken for %q, %v; want %q", link, got, err, want)
		}
	}
}

// FuzzRecogniseLink checks that what is taken for an infohash is one, and that no link makes anything panic.
func FuzzRecogniseLink(f *testing.F) {
	for _, s := range []string{
		"", "magnet:?xt=urn:btih:" + strings.Repeat("ab", 20), strings.Repeat("AB", 16), strings.Repeat("ab", 32), "http://x/",
		"ABCDEFGHABCDEFGHABCDEFGHAB======", "ABCDEFGHABCDEFGH\nABCDEFGHABCDEFG", "ı" + strings.Repeat("A", 30), "magnet:?xt=urn:btmh:1220ab",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kind, err := RecogniseLink(s)
		if (kind == "") != (err != nil) {
			t.Fatalf("%q is taken for %q, %v", s, kind, err)
		}
		switch kind {
		case PreviewMagnet:
			_, _ = parseMagnet(strings.TrimSpace(s))
		case PreviewInfohash:
			magnet, _ := infohashLink(s)
			link, err := parseMagnet(magnet)
			if err != nil && !strings.Contains(err.Error(), "nothing but zeros") {
				t.Fatalf("%q makes %q, which cannot be read: %v", s, magnet, err)
			}
			plain := strings.ToLower(strings.TrimSpace(s))
			if b, err := base32.StdEncoding.DecodeString(strings.ToUpper(plain)); err == nil && len(plain) == 32 {
				plain = hex.EncodeToString(b)
			}
			if !strings.HasPrefix(plain, link.infohash.String()) {
				t.Fatalf("%q is the infohash %s", s, link.infohash)
			}
		}
	})
}

func TestPreview(t *testing.T) {
	folder := encode(t, dict{"announce": "http://t.example/announce", "info": dict{
		"name": "folder", "piece length": 16384, "pieces": hashes(1), "private": 1,
		"files": []any{dict{"path": []any{"a", "b"}, "length": 1}, dict{"path": []any{"c"}, "length": 2}},
	}})
	one := tiny(t, "one", 1)
	magnet := "magnet:?xt=urn:btih:" + strings.Repeat("ab", 20) + "&dn=by+redirect&tr=http%3A%2F%2Ft.example%2Fannounce"
	site, _ := torrentSite(t, one, magnet)
	opts := testOptions(t, newRecorder())
	opts.Swarm.AllowPrivate = true
	l := mustOpen(t, opts)
	if _, err := l.AddMetainfo("r", one); err != nil {
		t.Fatal(err)
	}
	var ab Infohash
	copy(ab[:], strings.Repeat("\xab", 20))
	link := Preview{Infohash: ab, Name: "by redirect", Trackers: 1}
	file := Preview{
		Infohash: infohashOf(t, one), Name: "one", Resolved: true, Size: 2, Files: 1, FirstFiles: []PreviewFile{{"one", 2}}, Known: &Torrent{},
	}
	for _, test := range []struct {
		link string
		want Preview
	}{
		{" " + magnet + "\n", link},
		{site + "/magnet", link},
		{strings.Repeat("AB", 20), Preview{Infohash: ab}},
		{strings.Repeat("ab", 32), Preview{Infohash: ab}},
		{base32.StdEncoding.EncodeToString(ab[:]), Preview{Infohash: ab}},
		{infohashOf(t, one).String(), Preview{Infohash: infohashOf(t, one), Known: &Torrent{}}},
		{site + "/good", file},
	} {
		got, err := l.PreviewLink(t.Context(), test.link)
		if test.want.Known != nil && got.Known != nil {
			if got.Known.Route != "r" || got.Known.Name != "one" || got.Known.Infohash != test.want.Infohash {
				t.Errorf("%q is known as %+v", test.link, got.Known)
			}
			got.Known = test.want.Known
		}
		if !reflect.DeepEqual(got, test.want) || err != nil {
			t.Errorf("the preview of %q is %+v, %v; want %+v", test.link, got, err, test.want)
		}
	}
	got, err := l.PreviewMetainfo(folder)
	want := Preview{
		Infohash: infohashOf(t, folder), Name: "folder", Resolved: true, Size: 3, Files: 2, Private: true, Trackers: 1,
		FirstFiles: []PreviewFile{{"a/b", 1}, {"c", 2}},
	}
	if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("the preview of a folder is %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "x", "magnet:?dn=x", "http://", site + "/page", site + "/noise", site + "/file", site + "/absent"} {
		if got, err := l.PreviewLink(t.Context(), bad); !isInput(err) {
			t.Errorf("the preview of %q is %+v, %v; want an InputError", bad, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.PreviewLink(ctx, site+"/hang"); !errors.Is(err, context.Canceled) {
		t.Errorf("the preview for somebody who left ends with %v", err)
	}
	if got := len(l.Torrents()); got != 1 {
		t.Errorf("after previews there are %d torrents, want 1", got)
	}
}

func isInput(err error) bool {
	_, ok := errors.AsType[*InputError](err)
	return ok
}

// TestPreviewOfTooLarge: what can be read but not added is shown with the reason.
func TestPreviewOfTooLarge(t *testing.T) {
	opts := testOptions(t, newRecorder())
	opts.CacheLimit = 1 << 20
	l := mustOpen(t, opts)
	large := encode(t, dict{"info": dict{"name": "large", "piece length": 64 << 20, "length": 64 << 20, "pieces": hashes(1)}})
	if got, err := l.PreviewMetainfo(large); !isInput(err) || got.Name != "large" {
		t.Errorf("the preview is %+v, %v; want an InputError", got, err)
	}
}

func TestAddInfohash(t *testing.T) {
	l := mustOpen(t, testOptions(t, newRecorder()))
	for _, test := range []struct{ given, want string }{
		{" " + strings.Repeat("AB", 20) + "\n", strings.Repeat("ab", 20)},
		{strings.Repeat("b", 32), "08421084210842108421" + "08421084210842108421"},
		{strings.Repeat("cd", 32), strings.Repeat("cd", 20)},
	} {
		got, err := l.AddMagnet("r", test.given)
		if err != nil || got.Infohash.String() != test.want || got.State != StateMetadata {
			t.Errorf("%q adds %+v, %v; want %s", test.given, got, err, test.want)
		}
	}
	if got, err := l.AddMagnet("r", strings.Repeat("A", 32)); !isInput(err) {
		t.Errorf("an infohash of zeros adds %+v, %v; want an InputError", got, err)
	}
}
