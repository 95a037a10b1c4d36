package main

import (
	"fmt"
	"runtime/debug"
)

// build is what the Go tool noted in this one.
type build struct {
	version   string // of the module
	revision  string // of the source, with "+changes" behind if it was changed; may be empty
	goVersion string
}

func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{}
	}
	b := build{version: info.Main.Version, goVersion: info.GoVersion}
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
