package main

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"shoal/admin"
	"shoal/cmd/appliance/licences"
)

// libraries are what others wrote of this program, by name.
func libraries() []admin.Library {
	list := []admin.Library{{Name: "Go", Version: runtime.Version(), Licence: licences.GoLicence}}
	for _, p := range licences.Pages {
		list = append(list, admin.Library{Name: p.Name, Version: p.Version, Licence: p.Licence})
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return list
	}
	for _, module := range info.Deps {
		licence := licences.Of(module.Path)
		if licence == "" {
			continue // a test has them; there is a test that the program has no others
		}
		list = append(list, admin.Library{Name: module.Path, Version: module.Version, Licence: licence})
	}
	slices.SortFunc(list, func(a, b admin.Library) int { return strings.Compare(a.Name, b.Name) })
	return list
}
