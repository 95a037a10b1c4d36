//go:build linux

package archives

// exception is why a fixture is not, or not wholly, as others have it.
type exception struct {
	why  string // in words
	says string // a part of what Shoal, or the comparison, says of it; or several, with | between
}

var refused = map[string]exception{}

var alone = map[string]exception{}
