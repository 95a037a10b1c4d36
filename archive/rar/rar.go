// Package rar reads the headers of RAR archives, of format 1.5 to 4 and of format 5, in one or many volumes, and says
// where in the volumes the members lie. It decompresses and decrypts nothing.
//
// The formats are those of RAR's technote.txt, versions 4.11 and 5.0 and later. Names of flags and fields are the technote's.
package rar

import (
	"errors"
	"io"
	"io/fs"
	"time"
)

var (
	// ErrFormat is the error of what is no RAR archive, or a damaged one.
	ErrFormat = errors.New("not a valid RAR archive")
	// ErrUnsupported is the error of archives of versions that nobody makes any more, or nobody does yet.
	ErrUnsupported = errors.New("unsupported RAR archive")
	// ErrEncrypted is the error of archives whose headers are encrypted.
	ErrEncrypted = errors.New("encrypted RAR archive")
	// ErrLimit is the error of archives that have more of something than Limits allow.
	ErrLimit = errors.New("RAR archive over a limit")
	// ErrBudget is why the rest of an archive was not looked at: that would have cost too many reads.
	ErrBudget = errors.New("listing the RAR archive costs too many reads")
)

// Volumes are the files of a set, numbered from 0. None of a set is read before it is needed.
type Volumes interface {
	// Open returns volume n and its size in bytes, without reading it. The error is fs.ErrNotExist if the set has no such
	// volume. It may be called any number of times for the same n.
	//
	// An error of the volume's ReadAt is handed on, wrapped, and never taken for one of the archive.
	Open(n int) (volume io.ReaderAt, size int64, err error)
}

// Limits are what an archive may cost. What is zero has the default.
type Limits struct {
	Entries     int   // members: 200,000. More are ErrLimit
	Volumes     int   // 10,000. More are ErrLimit
	HeaderBytes int64 // headers and the quick open record together, in bytes: 64 MiB. More are ErrLimit
	BlockBytes  int64 // the different blocks of 64 KiB that are read, in bytes: 64 MiB. Listing ends there
	Reads       int   // calls of ReadAt: 2,000. Listing ends there
}

// withDefaults returns l with a number wherever it has none.
func (l Limits) withDefaults() Limits {
	if l.Entries <= 0 {
		l.Entries = 200_000
	}
	if l.Volumes <= 0 {
		l.Volumes = 10_000
	}
	if l.HeaderBytes <= 0 {
		l.HeaderBytes = 64 << 20
	}
	if l.BlockBytes <= 0 {
		l.BlockBytes = 64 << 20
	}
	if l.Reads <= 0 {
		l.Reads = 2_000
	}
	return l
}

// Archive is what the headers of a set tell. It has no state: it may be kept, copied and stored.
type Archive struct {
	Format  int  // 4 for formats 1.5 to 4, or 5
	Multi   bool // one of many volumes, even if the others are not there
	Solid   bool // decompressing a member may need those before it
	Volumes int  // how many of the set have a part in Members, or were looked at
	Members []Member
	// Truncated is why there may be more members than these, or nil: ErrBudget, fs.ErrNotExist of a volume, or ErrFormat
	// where the rest is damaged.
	Truncated error
}

// Member is a file, folder or link.
type Member struct {
	// Name is the path as it is stored: never clean, and not safe. Folders are separated by slashes, in Format 4 by both
	// kinds, as it stores `\`, even from Unix. Names that are not UTF8 have to be decoded first: a `\` may be half of a character.
	Name string
	// UTF8 says that Name is Unicode. Otherwise it is in an encoding that only its maker knew.
	UTF8    bool
	HostOS  HostOS
	Version int         // of the older contents of a file that an archive may keep, from 1 on; 0 for the newest
	Size    int64       // in bytes; -1 if it is not stored
	Packed  int64       // in bytes, as far as the volumes were looked at
	ModTime time.Time   // Format 4 knows no time zone: what the clock showed is taken as UTC. Zero if not stored
	Mode    fs.FileMode // type, and permissions if HostOS is Unix
	// Link is where a link points to: a path from its own folder for symbolic links, the Name of a member before it for
	// hard links and copies, which have that member's Extents. Format 4 has the target of a symbolic link in its data.
	Link     string
	LinkKind LinkKind

	Method     int   // Stored, or 1 (fastest) to 5 (best)
	Unpack     int   // version of the decompressor: 15, 20, 26, 29, 36, 50 or 70. 0 if stored
	Dictionary int64 // what decompressing takes, in bytes. 0 if stored
	Encrypted  bool
	Solid      bool // decompressing it needs the members before it
	HasCRC     bool
	CRC        uint32 // CRC-32 of the content, if HasCRC

	// Extents are where the packed data lies, in order: the content itself if Plain says so.
	Extents []Extent
	// Predicted says that some of the Extents were computed from the sizes of the volumes. Verify looks.
	Predicted bool
	// Problem says in a sentence why the content can't be had, whoever decodes. Empty if it can.
	Problem string
}

// Stored is the Method of members that are not compressed.
const Stored = 0

// Extent is a part of a volume.
type Extent struct {
	Volume   int
	Off, Len int64 // in bytes
}

// HostOS is the system on which a member was packed.
type HostOS uint8

// Those of both formats.
const (
	OtherOS HostOS = iota
	DOS            // and OS/2
	Windows
	Unix // and BeOS and Mac OS
)

// LinkKind is what a Link is.
type LinkKind uint8

// Those of both formats.
const (
	NoLink LinkKind = iota
	Symlink
	WindowsSymlink // of NTFS, or a junction: Link is as Windows has it
	HardLink
	Copy
)

// IsDir says whether the member is a folder.
func (m *Member) IsDir() bool { return m.Mode.IsDir() }

// Plain says that the Extents are the content: it is neither compressed nor encrypted, and complete.
func (m *Member) Plain() bool {
	return m.Method == Stored && !m.Encrypted && m.Problem == "" && !m.IsDir()
}

// Read lists an archive with as few reads as it can: the parts of a stored file in the volumes between its second and its
// last are predicted from their sizes, and headers are taken from the quick open record where there is one.
// What is wrong with the archive is ErrFormat, ErrUnsupported, ErrEncrypted or ErrLimit with a sentence, or a
// Truncated listing if it was met on the way. Everything else is an error of Volumes.
func Read(v Volumes, l Limits) (*Archive, error) { return list(v, l, true) }

// ReadAll is Read without predictions, for when Verify has seen one fail: it reads in every volume.
func ReadAll(v Volumes, l Limits) (*Archive, error) { return list(v, l, false) }
