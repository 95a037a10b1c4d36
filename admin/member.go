package admin

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// isNull says whether a member of a JSON object is there and null.
func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// member reads a member of a JSON object, which is nil if it is not there. want says what it has to be.
func member[T any](name string, raw json.RawMessage, want string) (*T, error) {
	if raw == nil {
		return nil, nil
	}
	value := new(T)
	if isNull(raw) || json.Unmarshal(raw, value) != nil {
		return nil, badRequest("“%s” is %.60s, and has to be %s.", name, raw, want)
	}
	return value, nil
}

// sizeMember reads a number of bytes, which may be a text with a unit.
func sizeMember(name string, raw json.RawMessage) (*int64, error) {
	size, err := parseSize(raw)
	if err != nil {
		return nil, badRequest("“%s” is %.60s, and has to be a number of bytes, a size such as \"10MiB\", or null.", name, raw)
	}
	return &size, nil
}

func parseSize(raw json.RawMessage) (int64, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		n, err := humanize.ParseBytes(text)
		if err == nil && n > math.MaxInt64 {
			err = fmt.Errorf("%d bytes is too large", n)
		}
		return int64(n), err
	}
	var n int64
	if err := json.Unmarshal(raw, &n); err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, fmt.Errorf("%d is negative", n)
	}
	return n, nil
}
