package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestEncodeBill(t *testing.T) {
	module := func(path, version string, replace *debug.Module) *debug.Module {
		return &debug.Module{Path: path, Version: version, Replace: replace}
	}
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8", Main: debug.Module{Path: "shoal", Version: "(devel)"},
		Deps: []*debug.Module{
			module("golang.org/x/net", "v0.60.0", nil),
			module("github.com/klauspost/compress", "v1.20.3", nil),
			module("github.com/go-llsqlite/adapter", "v0.0.0", nil),
			module("github.com/anacrolix/go-utp", "v0.0.0", module("./torrents/goutp", "", nil)),
		},
		Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "-ldflags", Value: "a secret"}},
	}
	got, err := encodeBill(info, "abc", "1.2.0")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := encodeBill(info, "abc", "1.2.0"); err != nil || !bytes.Equal(again, got) {
		t.Errorf("the second time it is different: %v", err)
	}
	var b bill
	if err := json.Unmarshal(got, &b); err != nil {
		t.Fatal(err)
	}
	if b.Metadata.Component.Version != "1.2.0" || b.Metadata.Component.Hashes[0].Content != "abc" {
		t.Errorf("the program is %+v", b.Metadata.Component)
	}
	licences := make(map[string]string)
	for _, c := range b.Components {
		licences[c.PURL] = ""
		if len(c.Licences) > 0 {
			licences[c.PURL] = c.Licences[0].Expression
		}
	}
	for purl, want := range map[string]string{
		"pkg:golang/std@1.26.8":                            "BSD-3-Clause",
		"pkg:golang/golang.org/x/net@v0.60.0":              "BSD-3-Clause",
		"pkg:golang/github.com/klauspost/compress@v1.20.3": "Apache-2.0 AND BSD-3-Clause AND MIT",
		"pkg:golang/github.com/go-llsqlite/adapter@v0.0.0": "",
		"pkg:npm/%40picocss/pico@2.1.1":                    "MIT",
	} {
		if got, ok := licences[purl]; !ok || got != want {
			t.Errorf("the licence of %s is %q (%t), want %q", purl, got, ok, want)
		}
	}
	if strings.Contains(string(got), "go-utp") {
		t.Error("what stands in for another's module is listed as that")
	}
	if strings.Contains(string(got), "secret") {
		t.Error("all settings of the build are in the list")
	}
	info.Deps = append(info.Deps, module("example.org/unknown", "v1.0.0", nil))
	if _, err := encodeBill(info, "abc", "1.2.0"); err == nil || !strings.Contains(err.Error(), "example.org/unknown") {
		t.Errorf("a module that nobody has looked at: %v", err)
	}
}

func TestAppendTo(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"LICENSE-MIT": "do what you like\n", "NOTICE.txt": "a notice\n", "licenses.go": "package licenses\n", "README": "read me\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := (part{"example.org/a", "v1", "MIT", dir}).appendTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"example.org/a v1 (MIT)\n", "do what you like\n", "a notice\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q lacks %q", b.String(), want)
		}
	}
	for _, other := range []string{"read me", "package"} {
		if strings.Contains(b.String(), other) {
			t.Errorf("%q has %q", b.String(), other)
		}
	}
	if err := (part{"example.org/b", "v1", "MIT", t.TempDir()}).appendTo(&b); err == nil {
		t.Error("a module without a licence in it is no error")
	}
	if err := (part{"example.org/c", "v1", "MIT", filepath.Join(dir, "absent")}).appendTo(&b); err == nil {
		t.Error("a module that is not there is no error")
	}
}
