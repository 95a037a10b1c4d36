package archive

import "errors"

var (
	// ErrFormat is wrapped by errors of archives that are damaged, or are none.
	ErrFormat = errors.New("not a valid archive")
	// ErrUnsupported is wrapped by errors of archives that may be right, and cannot be read here.
	ErrUnsupported = errors.New("archive is not supported")
	// ErrLimit is wrapped by errors of archives that have more of something than they may.
	ErrLimit = errors.New("archive is over a limit")
	// ErrClosed is what reads get after Close.
	ErrClosed = errors.New("archives are closed")
)
