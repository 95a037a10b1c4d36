package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
)

// release is the version of a release, such as "1.2.0". Whoever makes one sets it with -ldflags "-X main.release=1.2.0"; other builds
// leave it empty, and have what the Go tool calls their version.
var release string

// build is what is known of this one.
type build struct {
	version   string // of the release, or the module
	revision  string // of the source, with "+changes" behind if it was changed; may be empty
	goVersion string
}

func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{version: release}
	}
	b := build{version: cmp.Or(release, info.Main.Version), goVersion: info.GoVersion}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	b.revision += dirty
	return b
}

// version describes this build.
func version() string {
	b := thisBuild()
	if b == (build{}) {
		return "shoal (unknown build)"
	}
	revision := ""
	if b.revision != "" {
		revision = " " + b.revision
	}
	return fmt.Sprintf("shoal %s%s %s", b.version, revision, b.goVersion)
}
