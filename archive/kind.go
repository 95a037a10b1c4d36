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
	zipFile
	tarFile
	tarGzip
	tarBzip2
	tarXZ
	tarZstd
	gzipFile
	bzip2File
	xzFile
	zstdFile
	rarFile
	splitFile
)

// suffixes are those of archives, in lower case. Such as cbz, epub, jar and docx are archives too, but their readers want the file.
var suffixes = []struct {
	suffix string
	kind   kind
}{
	{".tar.gz", tarGzip},
	{".tgz", tarGzip},
	{".tar.bz2", tarBzip2},
	{".tbz2", tarBzip2},
	{".tbz", tarBzip2},
	{".tar.xz", tarXZ},
	{".txz", tarXZ},
	{".tar.zst", tarZstd},
	{".tzst", tarZstd},
	{".zip", zipFile},
	{".tar", tarFile},
	{".gz", gzipFile},
	{".bz2", bzip2File},
	{".xz", xzFile},
	{".zst", zstdFile},
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
		return rarFile
	case path.Ext(lower) == ".001":
		return splitFile
	default:
		return noArchive
	}
}

// IsArchive says whether a file with the name may be shown as a folder.
func IsArchive(name string) bool { return kindOf(name) != noArchive }
