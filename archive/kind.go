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
	compressedTarKind
	compressedKind // a file of which nothing but the compression makes an archive
	rarKind
	splitKind
)

// codec is how all of a file is compressed.
type codec uint8

const (
	noCodec codec = iota
	gzipCodec
	bzip2Codec
	xzCodec
	zstdCodec
)

// suffixes are those of archives, in lower case. Such as cbz, epub, jar and docx are archives too, but their readers want the file.
var suffixes = []struct {
	suffix string
	kind   kind
	codec  codec
}{
	{".tar.gz", compressedTarKind, gzipCodec},
	{".tgz", compressedTarKind, gzipCodec},
	{".tar.bz2", compressedTarKind, bzip2Codec},
	{".tbz2", compressedTarKind, bzip2Codec},
	{".tbz", compressedTarKind, bzip2Codec},
	{".tar.xz", compressedTarKind, xzCodec},
	{".txz", compressedTarKind, xzCodec},
	{".tar.zst", compressedTarKind, zstdCodec},
	{".tzst", compressedTarKind, zstdCodec},
	{".zip", zipKind, noCodec},
	{".tar", tarKind, noCodec},
	{".gz", compressedKind, gzipCodec},
	{".bz2", compressedKind, bzip2Codec},
	{".xz", compressedKind, xzCodec},
	{".zst", compressedKind, zstdCodec},
}

// needsWhole says whether all of an archive has to be read to list it. An xz file says at its end how large what it holds is.
func (k kind) needsWhole(c codec) bool {
	return k == compressedTarKind || k == compressedKind && c != xzCodec
}

// kindOf returns the kind of archive that a file with the name may be, as far as that is one to be shown as a folder: of a set of volumes,
// the first.
func kindOf(name string) (kind, codec) {
	lower := strings.ToLower(name)
	for _, s := range suffixes {
		if stem, ok := strings.CutSuffix(lower, s.suffix); ok && isName(stem) {
			return s.kind, s.codec
		}
	}
	switch _, n, ok := rar.Volume(name); {
	case !ok || n != 0:
		return noArchive, noCodec
	case path.Ext(lower) == ".rar":
		return rarKind, noCodec
	case path.Ext(lower) == ".001" && isName(strings.TrimSuffix(lower, ".001")):
		return splitKind, noCodec
	default:
		return noArchive, noCodec
	}
}

// isName says whether what is left of a name without its suffix is one.
func isName(stem string) bool { return strings.Trim(stem, ".") != "" }

// NeedsWhole says whether a file with the name may be an archive of which all has to be read to list it.
func NeedsWhole(name string) bool {
	k, c := kindOf(name)
	return k.needsWhole(c)
}

// IsArchive says whether a file with the name may be shown as a folder.
func IsArchive(name string) bool {
	k, _ := kindOf(name)
	return k != noArchive
}
