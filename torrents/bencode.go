package torrents

import (
	"errors"
	"fmt"
)

const (
	// maxTokens bounds the values in a .torrent file. Decoded, each takes up to some 300 bytes,
	// however short it is in the file. A file in a torrent is 8 or so.
	maxTokens = 2_000_000
	// maxNesting is how deep lists and dictionaries may be in one another. A folder in a version 2
	// file tree is one level.
	maxNesting = 64
)

// scanBencode checks, without allocating, that b is one bencoded value (BEP 3) within the limits:
// the decoder that follows takes memory for whatever is there.
func scanBencode(b []byte) error {
	depth, tokens := 0, 0
	for i := 0; i < len(b); {
		if tokens++; tokens > maxTokens {
			return fmt.Errorf("it has more than %d values", maxTokens)
		}
		switch c := b[i]; {
		case c == 'd' || c == 'l':
			if depth++; depth > maxNesting {
				return fmt.Errorf("its lists are nested more than %d deep", maxNesting)
			}
			i++
		case c == 'e' && depth > 0:
			depth--
			i++
		case c == 'i':
			n, err := scanNumber(b[i+1:], 'e')
			if err != nil {
				return fmt.Errorf("byte %d: %w", i, err)
			}
			i += 1 + n
		case '0' <= c && c <= '9':
			n, err := scanString(b[i:])
			if err != nil {
				return fmt.Errorf("byte %d: %w", i, err)
			}
			i += n
		default:
			return fmt.Errorf("byte %d is %q", i, c)
		}
		if depth == 0 {
			if i < len(b) {
				return fmt.Errorf("something follows at byte %d", i)
			}
			return nil
		}
	}
	return errCutOff
}

var errCutOff = errors.New("it is cut off")

// scanNumber returns the length of a number with its end.
func scanNumber(b []byte, end byte) (int, error) {
	const maxDigits = 20 // of a 64-bit number with its sign
	for i, c := range b[:min(len(b), maxDigits+1)] {
		switch {
		case c == end && i > 0:
			return i + 1, nil
		case c != '-' && (c < '0' || c > '9'):
			return 0, errors.New("not a number")
		}
	}
	if len(b) <= maxDigits {
		return 0, errCutOff
	}
	return 0, errors.New("a number with too many digits")
}

// scanString returns the length of a string with its length in front.
func scanString(b []byte) (int, error) {
	head, err := scanNumber(b, ':')
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range b[:head-1] {
		if c == '-' {
			return 0, errors.New("a string of negative length")
		}
		// Cannot overflow: it stops as soon as it is more than there is.
		if n = 10*n + int(c-'0'); n > len(b)-head {
			return 0, errCutOff
		}
	}
	return head + n, nil
}
