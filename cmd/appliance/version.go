package main

import (
	"fmt"
	"runtime/debug"
)

// version describes this build by what the Go tool noted in it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "shoal (unknown build)"
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = " " + s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	return fmt.Sprintf("shoal %s%s%s %s", info.Main.Version, revision, dirty, info.GoVersion)
}
