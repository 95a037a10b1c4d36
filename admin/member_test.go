package admin

import (
	"encoding/json"
	"testing"
)

func FuzzSizeMember(f *testing.F) {
	for _, seed := range []string{`1`, `"10MiB"`, `"1e30EiB"`, `-1`, `1.5`, `"-1"`, `"NaN"`, `"0x1p70"`, `null`, `{}`, `"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if size, err := sizeMember("x", json.RawMessage(raw)); err == nil && *size < 0 {
			t.Errorf("%q is %d bytes", raw, *size)
		}
	})
}
