package torrents

import "github.com/dustin/go-humanize"

// sizeText writes a number of bytes for people.
func sizeText(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }
