package archive

import (
	"errors"

	"shoal/archive/inflate"
	"shoal/archive/rar"
	"shoal/archive/spool"
	"shoal/archive/stream"
	"shoal/archive/tar"
	"shoal/archive/zip"
)

var (
	// ErrFormat is wrapped by errors of archives that are damaged, or are none.
	ErrFormat = errors.New("not a valid archive")
	// ErrUnsupported is wrapped by errors of archives that may be right, and cannot be read here.
	ErrUnsupported = errors.New("archive is not supported")
	// ErrLimit is wrapped by errors of archives that have more of something than they may.
	ErrLimit = errors.New("archive is over a limit")
	// ErrCrowded is wrapped by errors of archives whose list has no place in memory beside those that are known. It is not remembered.
	ErrCrowded = errors.New("too many files in archives are known already")
	// ErrClosed is what reads get after Close.
	ErrClosed = errors.New("archives are closed")
)

// Refuses says whether an error is one of the archive itself, which will come again; others are of reading it.
func Refuses(err error) bool {
	for _, of := range []error{
		ErrFormat, ErrUnsupported, ErrLimit,
		zip.ErrFormat, zip.ErrUnsupported, zip.ErrLimit,
		rar.ErrFormat, rar.ErrUnsupported, rar.ErrEncrypted, rar.ErrLimit,
		tar.ErrFormat, tar.ErrLimit,
		stream.ErrFormat, stream.ErrUnsupported,
		inflate.ErrFormat, spool.ErrSize, spool.ErrDecoder,
	} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}
