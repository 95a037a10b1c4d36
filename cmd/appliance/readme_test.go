package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// setting is a row of the table in the README.
type setting struct{ name, value string }

// settingRow is a row with a variable: its name and its default in backticks, or a dash for none, and
// then whatever else the table has.
var settingRow = regexp.MustCompile("^\\| *`(" + prefix + "[A-Z0-9_]+)` *\\| *(?:`([^`]*)`|–) *\\|")

// readSettings reads the table under the heading "## Settings". Text around it may be anything, other
// tables too, as long as a row that begins with one of our variables is like settingRow.
func readSettings(readme string) ([]setting, error) {
	_, section, found := strings.Cut("\n"+readme, "\n## Settings\n")
	if !found {
		return nil, fmt.Errorf("the README has no heading “## Settings”")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var settings []setting
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(strings.ReplaceAll(line, " ", ""), "|`"+prefix) {
			continue
		}
		row := settingRow.FindStringSubmatch(line)
		if row == nil {
			return nil, fmt.Errorf("the row %q is not like | `%sNAME` | `default` or – | meaning |", line, prefix)
		}
		settings = append(settings, setting{row[1], row[2]})
	}
	return settings, nil
}

// defaultInReadme is how the README shows a default.
func defaultInReadme(tag, value string) string {
	if tag == "CACHE_DIR" {
		return "$DATA_DIR/cache" // depends on another setting
	}
	return value
}

func TestReadmeHasEverySetting(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := readSettings(string(b))
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]string)
	for _, s := range list {
		if _, twice := told[s.name]; twice {
			t.Errorf("the README has %s twice", s.name)
		}
		told[s.name] = s.value
	}
	for field := range fields() {
		tag := field.Tag.Get("env")
		got, ok := told[prefix+tag]
		want := defaultInReadme(tag, field.Tag.Get("envDefault"))
		switch {
		case !ok:
			t.Errorf("the README does not have %s", prefix+tag)
		case got != want:
			t.Errorf("the README has %s with the default %q, want %q", prefix+tag, got, want)
		}
		delete(told, prefix+tag)
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		t.Errorf("the README has %s, which is no setting", name)
	}
}

func TestReadSettings(t *testing.T) {
	const readme = "# Shoal\n\n| `SHOAL_BEFORE` | `x` | not in the section |\n\n## Settings\n\nText with `SHOAL_TEXT`.\n\n" +
		"| variable | default | meaning |\n|---|---|---|\n" +
		"| `SHOAL_A` | `:1` | one |\n|`SHOAL_B`|–|none |\n  | `SHOAL_C_1`  | `a,b`   | three\n" +
		"| other | `x` | |\n\n### More\n\n| `SHOAL_D` | `./d` | four | and more |\n\n## Next\n\n| `SHOAL_AFTER` | `x` | |\n"
	got, err := readSettings(readme)
	want := []setting{{"SHOAL_A", ":1"}, {"SHOAL_B", ""}, {"SHOAL_C_1", "a,b"}, {"SHOAL_D", "./d"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("the settings are %q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{
		"# Shoal\n",
		"## Settings\n| `SHOAL_A` | 1 | no backticks |\n",
		"## Settings\n| `SHOAL_A` | | nothing |\n",
		"## Settings\n| `SHOAL_A`, `SHOAL_B` | `1` | two at once |\n",
		"## Settings\n| `SHOAL_a` | `1` | lower case |\n",
	} {
		if got, err := readSettings(bad); err == nil {
			t.Errorf("%q gives %q, want an error", bad, got)
		}
	}
}
