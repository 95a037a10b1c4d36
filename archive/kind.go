package archive

import (
	"path"
	"strings"

	"shoal/archive/rar"
)

// kind is the format of an archive, as its name says.
type kind uint8

const (
	noArchive kind = iota
	zipKind
	tarKind
	tarGzipKind
	tarBzip2Kind
	tarXZKind
	tarZstdKind
	gzipKind
	bzip2Kind
	xzKind
	zstdKind
	rarKind
	splitKind
)

// suffixes are those of archives, in lower case. Such as cbz, epub, jar and docx are archives too, but their readers want the file.
var suffixes = []struct {
	suffix string
	kind   kind
}{
	{".tar.gz", tarGzipKind},
	{".tgz", tarGzipKind},
	{".tar.bz2", tarBzip2Kind},
	{".tbz2", tarBzip2Kind},
	{".tbz", tarBzip2Kind},
	{".tar.xz", tarXZKind},
	{".txz", tarXZKind},
	{".tar.zst", tarZstdKind},
	{".tzst", tarZstdKind},
	{".zip", zipKind},
	{".tar", tarKind},
	{".gz", gzipKind},
	{".bz2", bzip2Kind},
	{".xz", xzKind},
	{".zst", zstdKind},
}

// kindOf returns the kind of archive that a file with the name may be, as far as that is one to be shown as a folder: of a set of volumes,
// the first.
func kindOf(name string) kind {
	lower := strings.ToLower(name)
	for _, s := range suffixes {
		if strings.HasSuffix(lower, s.suffix) && len(lower) > len(s.suffix) {
			return s.kind
		}
	}
	switch _, n, ok := rar.Volume(name); {
	case !ok || n != 0:
		return noArchive
	case path.Ext(lower) == ".rar":
		return rarKind
	case path.Ext(lower) == ".001":
		return splitKind
	default:
		return noArchive
	}
}

// IsArchive says whether a file with the name may be shown as a folder.
func IsArchive(name string) bool { return kindOf(name) != noArchive }
