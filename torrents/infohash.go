package torrents

import (
	"encoding/hex"
	"fmt"
)

// Infohash identifies a torrent: the SHA-1 of its info dictionary (BEP 3), or, for a torrent that is
// v2 only, the first 20 bytes of the SHA-256 (BEP 52), as the protocols between peers and trackers
// use it.
type Infohash [20]byte

// ParseInfohash reads 40 hexadecimal digits. The error is an *InputError.
func ParseInfohash(s string) (Infohash, error) {
	var ih Infohash
	if len(s) == hex.EncodedLen(len(ih)) {
		if _, err := hex.Decode(ih[:], []byte(s)); err == nil {
			return ih, nil
		}
	}
	return ih, &InputError{Reason: fmt.Sprintf("%.60q is not an infohash (40 hexadecimal digits)", s)}
}

func (ih Infohash) String() string { return hex.EncodeToString(ih[:]) }

// MarshalText and UnmarshalText make JSON of it.
func (ih Infohash) MarshalText() ([]byte, error) { return []byte(ih.String()), nil }

func (ih *Infohash) UnmarshalText(b []byte) error {
	parsed, err := ParseInfohash(string(b))
	if err == nil {
		*ih = parsed
	}
	return err
}
