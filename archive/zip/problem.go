package zip

import "fmt"

// Problem is why an entry's data can't be had.
type Problem uint8

// The problems. An index on disk has the numbers of the first ones.
const (
	NoProblem   Problem = iota
	OnOtherDisk         // of a split archive
	BadExtra            // numbers that need zip64 without it, or that nothing can be
	Encrypted           // by a password (ZipCrypto) or a certificate
	EncryptedAES
	Patch // against a file that isn't there

	// What follows from the rest, and from limits.

	UnknownMethod
	TooLarge // above Options.MaxSize
	BadRatio // more data than can be in so few bytes, or, of a stored entry, another amount
	Outside  // of the part of the archive where entries are
	Overlap  // with another entry

	lastSaved = Patch
)

// String returns the problem as the end of a sentence that starts with an entry.
func (p Problem) String() string {
	switch p {
	case NoProblem:
		return "is all right"
	case OnOtherDisk:
		return "is on another disk of a split archive"
	case BadExtra:
		return "has no valid sizes or no valid place"
	case Encrypted:
		return "is encrypted"
	case EncryptedAES:
		return "is encrypted (AES)"
	case Patch:
		return "is a patch to another file"
	case UnknownMethod:
		return "is compressed by a method that is not supported"
	case TooLarge:
		return "claims to be larger than an entry may be"
	case BadRatio:
		return "claims a size that its data can't have"
	case Outside:
		return "is not inside the archive"
	case Overlap:
		return "overlaps another entry"
	default:
		return fmt.Sprintf("has problem %d", uint8(p))
	}
}

// Err returns ErrUnsupported, ErrLimit or ErrFormat with the problem, or nil if there is none.
func (p Problem) Err() error {
	switch p {
	case NoProblem:
		return nil
	case Encrypted, EncryptedAES, Patch, UnknownMethod, OnOtherDisk:
		return fmt.Errorf("%s: %w", p, ErrUnsupported)
	case TooLarge:
		return fmt.Errorf("%s: %w", p, ErrLimit)
	default:
		return fmt.Errorf("%s: %w", p, ErrFormat)
	}
}
