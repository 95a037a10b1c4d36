//go:build linux

package main

import (
	"fmt"
	"slices"
)

// figures are numbers that were measured several times, by what they are and whose.
type figures map[[2]string][]float64

func (f figures) add(what, whose string, number float64) {
	key := [2]string{what, whose}
	f[key] = append(f[key], number)
}

func (f figures) of(what, whose string) []float64 { return f[[2]string{what, whose}] }

// spread is the median, the least and the most.
func spread(all []float64, format string) string {
	if len(all) == 0 {
		return "–"
	}
	return fmt.Sprintf(format+" ("+format+" … "+format+")", median(all), slices.Min(all), slices.Max(all))
}

// verdict prints whether a promise is kept.
func (b *bench) verdict(kept bool, format string, args ...any) {
	word := "PASS"
	if !kept {
		word, b.failed = "FAIL", true
	}
	say(b.out, "%s  "+format, append([]any{word}, args...)...)
}
