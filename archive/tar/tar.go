// Package tar lists the members of a tar archive (POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU tar, star and Unix version 7) from an
// io.ReaderAt, by going from header to header, and says where in the archive their data are. It reads headers, never data.
package tar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

var (
	// ErrFormat is in the errors about something that is no tar archive, or a damaged one.
	ErrFormat = errors.New("not a valid tar archive")
	// ErrLimit is in the errors about archives that go beyond the limits of Options.
	ErrLimit = errors.New("tar archive beyond the limits")
)

// Hole is the offset of an extent that is in no archive: its bytes are zero.
const Hole int64 = -1

// Extent is a run of bytes of a member: Len bytes from Off on in the archive, or Len zero bytes if Off is Hole.
type Extent struct {
	Off, Len int64
}

// Type says what a member is.
type Type uint8

// The types of members. Devices, pipes and what is particular to one program are not listed.
const (
	File Type = iota + 1
	Dir
	Symlink
	HardLink
)

// Member is an entry of an archive. Its ordinal in Index.Members is its identity: the same archive gives the same ordinals, if
// it is walked with the same limits on names and members; a smaller fetch budget gives fewer members, and no others.
type Member struct {
	Name    string // as it is in the archive: in any encoding, and maybe absolute or with ".."
	Link    string // the target of a Symlink, or the name of the earlier member that a HardLink is the same file as
	Type    Type
	Mode    uint32 // permission bits, 0 to 0777
	ModTime time.Time
	Size    int64    // in bytes
	Extents []Extent // of a File or a HardLink, in order: their lengths add up to Size
	Target  int      // of a HardLink, the ordinal of the member that it is the same file as, or -1 if there is none
}

// Dropped counts the entries that an archive has and its Index has not.
type Dropped struct {
	Special int // devices, pipes, and types that are not known
	Names   int // names that are empty, have a NUL or are longer or deeper than Options allow
	Sizes   int // larger than Options.MemberSize
	Sparse  int // with a map of holes that contradicts itself or is too long
}

// Index is what an archive holds.
type Index struct {
	ArchiveSize int64 // in bytes
	Members     []Member
	Dropped     Dropped
	Truncated   bool   // the fetch budget was used up: there may be more members
	Damage      string // if not empty, why the walk ended before the archive did
	Next        int64  // where the walk ended, in bytes from the start of the archive
}

// Options has the limits of a walk. Zero means the default, a negative number no limit.
type Options struct {
	Fetch int64 // bytes to fetch, in blocks of 64 KiB, default 64 MiB

	Entries    int   // members and dropped ones, default 200,000
	NameBytes  int64 // of the names and targets of all members, default 64 MiB
	MemberSize int64 // in bytes, default 1 TiB
	Component  int   // bytes of a name between slashes, default 255
	Path       int   // bytes of a name, default 1,024
	Depth      int   // components of a name, default 32
}

func orDefault[T int | int64](n *T, d, unlimited T) {
	switch {
	case *n == 0:
		*n = d
	case *n < 0:
		*n = unlimited
	}
}

func (o *Options) fill() {
	orDefault(&o.Fetch, 64<<20, math.MaxInt64)
	orDefault(&o.NameBytes, 64<<20, math.MaxInt64)
	orDefault(&o.MemberSize, 1<<40, math.MaxInt64)
	orDefault(&o.Entries, 200_000, math.MaxInt)
	orDefault(&o.Component, 255, math.MaxInt)
	orDefault(&o.Path, 1024, math.MaxInt)
	orDefault(&o.Depth, 32, math.MaxInt)
}

// anySize is above all sizes that can be, so that what is padded is within an int64.
const anySize = 1 << 62

// UnknownSize is the size of an archive that ends where its reader does.
const UnknownSize = -1

// Walk lists the archive of the given size in bytes. If that is UnknownSize, so is the Index's ArchiveSize, and members may be said to lie
// behind the end, with a Damage. Walk reads forward only, so that r may be a stream that is decompressed as it
// is read, and blocks as long as r does; ctx is looked at between two headers. If r fails, what it said is in the error.
//
// Something that doesn't start as a tar archive is ErrFormat. An archive that is damaged further on gives the members
// before that, and Damage; one with more members or names than allowed gives ErrLimit.
func Walk(ctx context.Context, r io.ReaderAt, size int64, o Options) (*Index, error) {
	o.fill()
	index := &Index{ArchiveSize: size}
	if size == UnknownSize {
		size = anySize
	}
	w := &walker{
		o:     o,
		in:    window{r: r, size: size, fetch: o.Fetch},
		index: index,
	}
	err := w.walk(ctx)
	var damage damageError
	switch {
	case err == nil:
	case errors.Is(err, errBudget):
		w.index.Truncated = true
	case errors.As(err, &damage) && w.headers > 0:
		w.index.Damage = damage.Error()
	default:
		return nil, fmt.Errorf("tar archive of %d bytes, header at %d: %w", index.ArchiveSize, index.Next, err)
	}
	w.index.resolveLinks()
	return w.index, nil
}

// damageError is what is wrong with an archive, as a sentence.
type damageError string

func (e damageError) Error() string { return string(e) }

// Is makes it an ErrFormat.
func (e damageError) Is(target error) bool { return target == ErrFormat }
