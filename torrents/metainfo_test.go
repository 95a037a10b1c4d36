package torrents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/merkle"
	"github.com/anacrolix/torrent/metainfo"

	"shoal/torrents/cache"
)

// dict is a bencode dictionary.
type dict map[string]any

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := bencode.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hashes returns the piece hashes of n pieces, which nobody checks here.
func hashes(n int) string { return strings.Repeat("h", 20*n) }

// v1 is a .torrent of the files, given by length and path.
func v1(t testing.TB, name string, files ...dict) []byte {
	t.Helper()
	const pieceLength = 16 << 10
	total := 0
	list := make([]any, len(files))
	for i, f := range files {
		total += f["length"].(int)
		list[i] = f
	}
	info := dict{"name": name, "piece length": pieceLength, "files": list, "pieces": hashes((total + pieceLength - 1) / pieceLength)}
	return encode(t, dict{"info": info})
}

func file(length int, path ...string) dict {
	list := make([]any, len(path))
	for i, p := range path {
		list[i] = p
	}
	return dict{"length": length, "path": list}
}

func v2Leaf(length int, root string) dict {
	leaf := dict{"length": length}
	if root != "" {
		leaf["pieces root"] = root
	}
	return dict{"": leaf}
}

var root32 = strings.Repeat("r", 32)

// v2 is a .torrent of a file tree of version 2, with these piece hashes for all files with root32.
func v2(t testing.TB, layer string, tree dict) []byte {
	t.Helper()
	info := dict{"name": "n", "meta version": 2, "piece length": 16384, "file tree": tree}
	return encode(t, dict{"info": info, "piece layers": dict{root32: layer}})
}

// layered returns the root of a file whose pieces have the hashes in layer.
func layered(t testing.TB, layer string) string {
	t.Helper()
	hashes, err := merkle.CompactLayerToSliceHashes(layer)
	if err != nil {
		t.Fatal(err)
	}
	root := merkle.RootWithPadHash(hashes, metainfo.HashForPiecePad(16384))
	return string(root[:])
}

// TestCVE_2018_10756_HostileMetainfo: Transmission wrote where it must not, made to by a .torrent file (also CVE-2020-8437, and others before).
func TestCVE_2018_10756_HostileMetainfo(t *testing.T) {
	single := func(change dict) []byte {
		info := dict{"name": "n", "piece length": 16384, "length": 10, "pieces": hashes(1)}
		maps.Copy(info, change)
		return encode(t, dict{"info": info})
	}
	nested := strings.Repeat("l", 1_000_000) + strings.Repeat("e", 1_000_000)
	deep := make([]string, maxDepth+2)
	for i := range deep {
		deep[i] = "d"
	}
	tests := []struct {
		what string
		b    []byte
		want string // part of the sentence
	}{
		{"nothing", nil, "cannot be read"},
		{"text", []byte("<html>not a torrent</html>"), "cannot be read"},
		{"cut off", v1(t, "n", file(10, "a"))[:60], "cannot be read"},
		{"something behind", append(v1(t, "n", file(10, "a")), "x"...), "cannot be read"},
		{"a list", []byte("le"), "cannot be read"},
		{"no info", []byte("de"), "no info dictionary"},
		{"info is a number", []byte("d4:infoi1ee"), "cannot be read"},
		{"nested lists", []byte("d4:info" + nested + "e"), "cannot be read"},
		{"nested lists beside", []byte("d1:a" + nested + "4:infodee"), "cannot be read"},
		{"too large", make([]byte, MaxMetainfo+1), "larger than 16 MiB"},
		{"a string that is longer than all", []byte("d4:info999999999999:"), "cannot be read"},
		{"no piece length", single(dict{"piece length": 0}), "piece length is 0"},
		{"negative piece length", single(dict{"piece length": -16384}), "piece length is -16384"},
		{"huge piece length", single(dict{"piece length": int64(1) << 62}), "piece length is"},
		{"negative length", single(dict{"length": -1}), "length of -1"},
		{"too few hashes", single(dict{"length": 20000}), "20 bytes of piece hashes for 2 pieces"},
		{"too many hashes", single(dict{"pieces": hashes(2)}), "40 bytes of piece hashes for 1 pieces"},
		{"part of a hash", single(dict{"pieces": "hhh"}), "3 bytes of piece hashes"},
		{"more bytes than there are", single(dict{"length": int64(math.MaxInt64)}), "more than"},
		{"sizes that overflow", encode(t, dict{"info": dict{
			"name": "n", "piece length": 16384, "pieces": hashes(1),
			"files": []any{dict{"length": int64(math.MaxInt64), "path": []any{"a"}}, dict{"length": int64(math.MaxInt64), "path": []any{"b"}}},
		}}), "length of"},
		{"too deep", v1(t, "n", file(10, deep...)), "folders deep"},
		{"path of numbers", encode(t, dict{"info": dict{
			"name": "n", "piece length": 16384, "pieces": hashes(1), "files": []any{dict{"length": 10, "path": []any{1, 2}}},
		}}), "cannot be read"},
		{"v2 with odd piece length", single(dict{"meta version": 2, "piece length": 17000, "file tree": dict{"n": v2Leaf(10, root32)}}), "version 2 does not allow"},
		{"v2 with an empty tree", encode(t, dict{"info": dict{"name": "n", "meta version": 2, "piece length": 16384, "file tree": dict{}}}), "empty"},
		{"v2 without a root", encode(t, dict{"info": dict{"name": "n", "meta version": 2, "piece length": 16384, "file tree": dict{"n": v2Leaf(10, "")}}}), "broken"},
		{"v2 with a short root", encode(t, dict{"info": dict{"name": "n", "meta version": 2, "piece length": 16384, "file tree": dict{"n": v2Leaf(10, "r")}}}), "broken"},
		{"v2 with a negative length", encode(t, dict{"info": dict{"name": "n", "meta version": 2, "piece length": 16384, "file tree": dict{"n": v2Leaf(-10, root32)}}}), "broken"},
		{"v2 with huge files", encode(t, dict{"info": dict{"name": "n", "meta version": 2, "piece length": 16384, "file tree": dict{
			"a": dict{"": dict{"length": int64(math.MaxInt64), "pieces root": root32}}, "b": dict{"": dict{"length": int64(math.MaxInt64), "pieces root": root32}},
		}}}), "larger than any disk"},
		{"v2 with an empty file", v2(t, "", dict{"a": v2Leaf(0, ""), "b": v2Leaf(5, root32)}), "is empty, which is not supported"},
		{"v2 without piece hashes", encode(t, dict{"info": dict{
			"name": "n", "meta version": 2, "piece length": 16384, "file tree": dict{"n": v2Leaf(20_000, root32)},
		}}), "no piece hashes for the file"},
		{"v2 with too few piece hashes", v2(t, root32, dict{"n": v2Leaf(20_000, root32)}), "32 bytes of piece hashes for the 2 pieces"},
		{"v2 with part of a hash", v2(t, "hhh", dict{"n": v2Leaf(20_000, root32)}), "3 bytes of piece hashes"},
		{"v2 with other piece hashes", v2(t, root32+root32, dict{"n": v2Leaf(20_000, root32)}), "are not those that the torrent names"},
		{"hybrid whose halves differ", single(dict{"meta version": 2, "file tree": dict{"other": v2Leaf(10, root32)}}), "different files"},
		{"hybrid whose sizes differ", single(dict{"meta version": 2, "file tree": dict{"n": v2Leaf(11, root32)}}), "different files"},
	}
	for _, test := range tests {
		m, err := ParseMetainfo(test.b)
		var bad *InputError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %+v, %v; want an InputError with %q", test.what, m, err, test.want)
		}
	}
}

// TestCVE_2010_0012_OddNames: Transmission wrote to ../ of a .torrent file. TestCVE_2010_0012_Version2 is about those of version 2.
func TestCVE_2010_0012_OddNames(t *testing.T) {
	tests := []struct {
		what, name string
		files      []dict
		wantName   string
		want       string // paths
	}{
		{"climbing", "..", []dict{file(1, "..", "..", "etc", "passwd"), file(1, ".", "x")}, "__", "__/__/etc/passwd _/x"},
		{"absolute", "/etc", []dict{file(1, "/etc", "passwd"), file(1, "", "x")}, "_etc", "_etc/passwd _/x"},
		{"NUL and backslash", "a\x00b", []dict{file(1, "c\\d", "e\x00f")}, "a_b", "c_d/e_f"},
		{"empty", "", []dict{file(1, ""), file(0)}, "_", "_ _ (2)"},
		{"doubles", "n", []dict{file(1, "a"), file(2, "a"), file(3, "A")}, "n", "a a (2) A"},
		{"a file where a folder is", "n", []dict{file(1, "a", "b"), file(2, "a")}, "n", "a/b a (2)"},
		{"a folder where a file is", "n", []dict{file(1, "a"), file(2, "a", "b")}, "n", "a a (2)/b"},
		{"padding is hidden", "n", []dict{file(1, "a"), {"length": 16383, "path": []any{".pad", "16383"}, "attr": "p"}, file(2, "b")}, "n", "a b"},
		{"UTF-8 beside", "n", []dict{{"length": 1, "path": []any{"\xe9"}, "path.utf-8": []any{"é"}}}, "n", "é"},
	}
	for _, test := range tests {
		m, err := ParseMetainfo(v1(t, test.name, test.files...))
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		var paths []string
		for _, f := range m.Files {
			paths = append(paths, strings.Join(f.Path, "/"))
		}
		if got := strings.Join(paths, " "); m.Name != test.wantName || got != test.want {
			t.Errorf("%s: %q with %q, want %q with %q", test.what, m.Name, got, test.wantName, test.want)
		}
		checkMetainfo(t, m)
	}
}

func TestVersion2(t *testing.T) {
	layer := strings.Repeat("l", 64)
	root := layered(t, layer)
	tree := dict{"b": v2Leaf(20_000, root), "a": dict{"x": v2Leaf(5, root32), "y": v2Leaf(16384, root32)}}
	info := dict{"name": "n", "meta version": 2, "piece length": 16384, "file tree": tree}
	m, err := ParseMetainfo(encode(t, dict{"info": info, "piece layers": dict{root: layer}}))
	if err != nil {
		t.Fatal(err)
	}
	want := "[{[a x] 0 0 5} {[a y] 1 16384 16384} {[b] 2 32768 20000}]"
	if got := fmt.Sprint(m.Files); got != want || m.pieces != 4 || m.IsFile {
		t.Errorf("files %s, %d pieces, single file %v; want %s, 4, false", got, m.pieces, m.IsFile, want)
	}
	m, err = ParseMetainfo(encode(t, dict{"info": dict{"name": "n.mkv", "meta version": 2, "piece length": 16384, "file tree": dict{"n.mkv": v2Leaf(5, root32)}}}))
	if err != nil || !m.IsFile || m.Name != "n.mkv" || len(m.Files[0].Path) != 0 {
		t.Errorf("a single file: %+v, %v", m, err)
	}
}

func TestManyFiles(t *testing.T) {
	files := make([]dict, 40_000)
	for i := range files {
		files[i] = file(1, fmt.Sprintf("d%d", i%100), fmt.Sprintf("f%d", i))
	}
	m, err := ParseMetainfo(v1(t, "n", files...))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Files) != len(files) || m.folders != 100 {
		t.Errorf("%d files in %d folders, want 40000 in 100", len(m.Files), m.folders)
	}
	checkMetainfo(t, m)
}

// TestBombs gives the largest metainfo that is decoded, made to use memory.
func TestBombs(t *testing.T) {
	// fill repeats unit, which is of so many values, as often as both limits let it.
	fill := func(head, unit string, values int, tail string) []byte {
		n := min((MaxMetainfo-len(head)-len(tail))/len(unit), (maxTokens-100)/values)
		return []byte(head + strings.Repeat(unit, n) + tail)
	}
	info := "4:infod4:name1:n12:piece lengthi16384e6:pieces0:e"
	bombs := map[string][]byte{
		"files":          fill("d4:infod5:filesl", "d6:lengthi0e4:pathl1:aee", 8, "e4:name1:n12:piece lengthi16384e6:pieces0:ee"),
		"path elements":  fill("d4:infod5:filesld6:lengthi0e4:pathl", "1:a", 1, "eee4:name1:n12:piece lengthi16384e6:pieces0:ee"),
		"nodes":          fill("d"+info+"5:nodesl", "l1:ai1ee", 4, "ee"),
		"keys of a tree": fill("d4:infod9:file treed", "1:ade", 3, "e12:meta versioni2e4:name1:n12:piece lengthi16384eee"),
	}
	for what, b := range bombs {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		m, err := ParseMetainfo(b)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		used := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d KiB make %d MiB in %v: %v", what, len(b)>>10, used>>20, took, err)
		var bad *InputError
		if err != nil && !errors.As(err, &bad) {
			t.Errorf("%s: %v", what, err)
		}
		if m != nil {
			checkMetainfo(t, m)
		}
		if used > 600<<20 {
			t.Errorf("%s: %d bytes allocated", what, used)
		}
	}
	if _, err := ParseMetainfo(fill("d1:al", "i0e", 0+1, "i0ei0ee"+info+"e")); err != nil {
		t.Errorf("just below the limit: %v", err)
	}
	if _, err := ParseMetainfo([]byte("d1:al" + strings.Repeat("i0e", maxTokens) + "e" + info + "e")); err == nil {
		t.Error("more values than the limit were decoded")
	}
}

// checkMetainfo checks what has to be true of whatever was parsed.
func checkMetainfo(t testing.TB, m *Metainfo) {
	t.Helper()
	if !shownSafely(m.Name) {
		t.Errorf("the name %q", m.Name)
	}
	space := int64(m.pieces) * m.pieceLength
	files, folders := make(map[string]bool), make(map[string]bool)
	for _, f := range m.Files {
		if f.Offset < 0 || f.Size < 0 || f.Offset+f.Size > space || f.Index < 0 || f.Index >= m.places {
			t.Fatalf("the file %+v in %d bytes of pieces, of %d files", f, space, m.places)
		}
		if m.IsFile {
			continue
		}
		for i, name := range f.Path {
			if !shownSafely(name) {
				t.Fatalf("the path %q", f.Path)
			}
			if i < len(f.Path)-1 {
				folders[strings.Join(f.Path[:i+1], "/")] = true
			}
		}
		path := strings.Join(f.Path, "/")
		if files[path] {
			t.Fatalf("the path %q twice", path)
		}
		files[path] = true
	}
	for path := range files {
		if folders[path] {
			t.Fatalf("%q is a file and a folder", path)
		}
	}
	if len(folders) != m.folders {
		t.Errorf("%d folders, counted as %d", len(folders), m.folders)
	}
}

func FuzzParseMetainfo(f *testing.F) {
	f.Add(v1(f, "n", file(10, "a", "b"), file(20_000, "..", "")))
	f.Add(encode(f, dict{"info": dict{"name": "n", "piece length": 16384, "length": 10, "pieces": hashes(1)}, "creation date": 1}))
	f.Add(v2(f, root32, dict{"a": dict{"x": v2Leaf(5, root32)}}))
	f.Add(encode(f, dict{"info": dict{
		"name": "n", "piece length": 16384, "length": 10, "pieces": hashes(1), "meta version": 2, "file tree": dict{"n": v2Leaf(10, root32)},
	}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMetainfo(b)
		var bad *InputError
		switch {
		case err == nil:
			checkMetainfo(t, m)
		case !errors.As(err, &bad):
			t.Errorf("%v is no InputError", err)
		}
	})
}

// FuzzJoin lets the engine have what ParseMetainfo lets through: a panic there ends the process.
func FuzzJoin(f *testing.F) {
	layer := strings.Repeat("l", 64)
	root := layered(f, layer)
	f.Add(v1(f, "n", file(10, "a", "b"), file(20_000, "..", ""), file(0, "e")))
	f.Add(v1(f, "n", file(0, "e")))
	f.Add(encode(f, dict{"info": dict{"name": "n", "piece length": 16384, "length": 10, "pieces": hashes(1)}}))
	f.Add(encode(f, dict{"info": dict{"name": "n", "piece length": 16384, "length": 0, "pieces": ""}}))
	f.Add(encode(f, dict{
		"info":         dict{"name": "n", "meta version": 2, "piece length": 16384, "file tree": dict{"a": v2Leaf(20_000, root), "b": v2Leaf(1, root32)}},
		"piece layers": dict{root: layer},
	}))
	f.Add(encode(f, dict{"info": dict{
		"name": "n", "piece length": 16384, "length": 20_000, "pieces": hashes(2), "meta version": 2, "file tree": dict{"n": v2Leaf(20_000, root)},
	}}))
	f.Add(encode(f, dict{
		"info": dict{"name": "n", "piece length": 16384, "length": 10, "pieces": hashes(1)}, "announce": "foo://x", "url-list": "::",
	}))
	opts := SwarmOptions{Addr: "127.0.0.1:0", TCP: true, MaxPeers: 1}
	out, err := newOutgoing(opts, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	nowhere := func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	out.dial, out.seeds.DialContext = nowhere, nowhere
	s, err := newSwarm(opts, out, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	store, err := cache.Open(cache.Options{Dir: f.TempDir(), Limit: 1 << 40, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _, _ = s.close(), store.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMetainfo(b)
		if err != nil || m.pieces > 10_000 {
			return
		}
		p, err := store.Open(m.Infohash.key(), m.geometry(), newPieceHashes(m).verify)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Close() }() // in a folder that is about to go
		member, err := s.join(m, sources{}, p)
		if err != nil {
			return
		}
		for piece := range min(m.pieces, 10) {
			p.Want(cache.Span{First: piece, Last: piece}, cache.Now, 1, 0)
		}
		member.leave()
	})
}

func FuzzParseMagnet(f *testing.F) {
	f.Add("magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=x&tr=http%3A%2F%2Ft&x.pe=127.0.0.1:1")
	f.Add("magnet:?xt=urn:btmh:1220caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e&dn=..%2F")
	f.Add("magnet:?xt=urn:btih:" + strings.Repeat("B", 32))
	f.Add("http://example.org")
	f.Fuzz(func(t *testing.T, uri string) {
		link, err := parseMagnet(uri)
		var bad *InputError
		switch {
		case err != nil && !errors.As(err, &bad):
			t.Errorf("%v is no InputError", err)
		case err == nil && link.name != "" && !shownSafely(link.name):
			t.Errorf("%q has the name %q", uri, link.name)
		}
	})
}

// FuzzScanBencode compares the scanner with the decoder: what it lets through within its limits is
// bencode, and it never refuses what the decoder takes.
func FuzzScanBencode(f *testing.F) {
	for _, s := range []string{"i1e", "i-0e", "4:spam", "le", "de", "d1:ai1e1:bl1:cee", "i1", "5:spam", "l", "e", "i--e"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := scanBencode(b)
		var v any
		if decodeErr := bencode.Unmarshal(b, &v); decodeErr == nil && err != nil {
			t.Errorf("%q decodes, but the scanner says: %v", b, err)
		}
	})
}
