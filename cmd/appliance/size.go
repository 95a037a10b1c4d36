package main

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// byteSize is a number of bytes, written as 512MiB, 20GB or 1000.
type byteSize int64

func (s *byteSize) UnmarshalText(b []byte) error {
	n, err := humanize.ParseBytes(string(b))
	if err != nil {
		return err
	}
	if n > math.MaxInt64 {
		return fmt.Errorf("%d bytes is too large", n)
	}
	*s = byteSize(n)
	return nil
}
