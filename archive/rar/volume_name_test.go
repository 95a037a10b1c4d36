package rar

import (
	"testing"
)

func TestVolumeName(t *testing.T) {
	for _, c := range []struct {
		first string
		n     int
		want  string // empty if there is none
	}{
		{"x.part1.rar", 0, "x.part1.rar"},
		{"x.part1.rar", 1, "x.part2.rar"},
		{"x.part1.rar", 9, "x.part10.rar"},
		{"x.part01.rar", 1, "x.part02.rar"},
		{"x.PART001.RAR", 99, "x.PART100.RAR"},
		{"x.part001.rar", 999, "x.part1000.rar"},
		{"x.part1.exe", 1, "x.part2.rar"},
		{"x.part1.exe", 0, "x.part1.exe"},
		{"x.part2.rar", 1, ""},
		{"x.part2.rar", 0, ""},
		{"a.part1.b.rar", 1, "a.part1.b.r00"},
		{"x.rar", 0, "x.rar"},
		{"x.rar", 1, "x.r00"},
		{"x.rar", 100, "x.r99"},
		{"x.rar", 101, "x.s00"},
		{"x.rar", 900, "x.z99"},
		{"x.rar", 901, ""},
		{"X.RAR", 101, "X.S00"},
		{"x.Rar", 1, "x.r00"},
		{"x.exe", 0, "x.exe"},
		{"x.exe", 1, "x.r00"},
		{"x.001", 0, "x.001"},
		{"x.001", 1, "x.002"},
		{"x.001", 999, "x.1000"},
		{"x.0001", 1, "x.0002"},
		{"x.002", 1, ""},
		{"x.01", 1, ""},
		{"x.zip", 0, ""},
		{"x.zip", 1, ""},
		{"rar", 1, ""},
		{"", 1, ""},
		{"x.rar", -1, ""},
		{"x.part99999999999999999999.rar", 1, "x.part99999999999999999999.r00"},
	} {
		got, ok := VolumeName(c.first, c.n)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("VolumeName(%q, %d) = %q, %v, want %q", c.first, c.n, got, ok, c.want)
		}
	}
}

func TestVolume(t *testing.T) {
	for _, first := range []string{
		"x.part1.rar", "a b.PART01.RAR", ".part001.rar", "x.rar", "X.RAR", "x.001", "x.part1.exe", "part1.rar", "x.part1.r.rar",
	} {
		set, n, ok := Volume(first)
		if n != 0 || !ok {
			t.Errorf("Volume(%q) = %q, %d, %v, want 0", first, set, n, ok)
		}
		for _, want := range []int{1, 2, 9, 10, 98, 99, 100, 101, 500, 899, 900} {
			name, ok := VolumeName(first, want)
			if !ok {
				t.Errorf("volume %d of %q has no name", want, first)
			}
			if got, n, ok := Volume(name); got != set || n != want || !ok {
				t.Errorf("Volume(%q) = %q, %d, %v, want %q, %d", name, got, n, ok, set, want)
			}
		}
	}
	for _, name := range []string{
		"", "x", "x.exe", "x.part0.rar", "x.part2.exe", "x.000", "x.01", "x.0100", "x.q00", "x.r0", "x.r000", "x.{00", "x.rxx", "x.zip",
	} {
		if set, n, ok := Volume(name); ok {
			t.Errorf("Volume(%q) = %q, %d, want none", name, set, n)
		}
	}
	sets := map[string]string{}
	for _, name := range []string{"x.rar", "x.part1.rar", "x.001", "y.rar", "x.part1.part1.rar"} {
		set, _, _ := Volume(name)
		if sets[set] != "" {
			t.Errorf("%q and %q are of one set", name, sets[set])
		}
		sets[set] = name
	}
}
