package main

import (
	"path/filepath"
	"testing"
)

// TestWatchDir has places for the watch folder beside the others, which are good.
func TestWatchDir(t *testing.T) {
	dir := t.TempDir()
	for _, watch := range []string{
		dir, filepath.Join(dir, "not there"), filepath.Join(dir, "data", "watch"), filepath.Join(dir, "dat"), filepath.Join(dir, "cache", "x"),
	} {
		for _, cache := range []string{"", filepath.Join(dir, "cache")} {
			_, mistakes := parseConfig([]string{
				"SHOAL_DATA_DIR=" + filepath.Join(dir, "data"), "SHOAL_CACHE_DIR=" + cache, "SHOAL_WATCH_DIR=" + watch,
			})
			if bad := watch == dir; len(mistakes) > 0 != bad {
				t.Errorf("WATCH_DIR=%q: mistakes %q, want some: %t", watch, mistakes, bad)
			}
		}
	}
	// The cache beside the data, and the working folder in it.
	t.Chdir(dir)
	for watch, bad := range map[string]bool{"cache": true, "c": false, ".": true, "..": true, filepath.Join(dir, "cache"): true} {
		_, mistakes := parseConfig([]string{"SHOAL_CACHE_DIR=cache/x", "SHOAL_WATCH_DIR=" + watch})
		if len(mistakes) > 0 != bad {
			t.Errorf("WATCH_DIR=%q: mistakes %q, want some: %t", watch, mistakes, bad)
		}
	}
	if _, mistakes := parseConfig([]string{"SHOAL_DATA_DIR=/srv/shoal", "SHOAL_WATCH_DIR=" + dir}); len(mistakes) > 0 {
		t.Errorf("mistakes %q: the working folder is none of Shoal's", mistakes)
	}
}
