package archive

import (
	"cmp"
	"time"

	"shoal/archive/names"
	"shoal/archive/rar"
	"shoal/archive/stream"
	"shoal/archive/tar"
	"shoal/archive/zip"
)

// Limits are what an archive may have and cost. What is 0 has its default. What is over a limit that is about a whole archive leaves that
// a file; about a member, that can't be read, or, for its name, is not shown.
//
// What is not here has no reason to be changed: a segment of DEFLATE data has 8 MiB, or 16 in members above 4 GiB (package inflate), a
// map of holes 65,536 runs (package tar), an xz index a million blocks (package stream), a file 10,000 parts,
// hard links and copies in a RAR archive a million of them together (package rar).
type Limits struct {
	// Of an archive.

	Entries     int           // 200,000
	HeaderBytes int64         // of a zip's central directory, a RAR's headers, a tar's names: 64 MiB
	FetchBytes  int64         // that listing may fetch where headers are all over the archive (tar, RAR), in blocks of 64 KiB: 64 MiB
	Work        time.Duration // that listing may take, without waiting for the archive's data: 30 s
	Links       int           // symbolic links of a zip archive that are shown: 64, as each costs a read
	Depth       int           // archives in each other, the outermost counted: 2, and at most MaxDepth
	Nested      int           // archives in an archive that are shown as folders, and those of a torrent that are listed: 1,000
	NestedSize  int64         // bytes of a compressed archive in another one, which may all have to be decoded to list it: 1 GiB

	// Of all archives.

	Known int // members whose lists are in memory, some 500 bytes each, which one with holes takes for ten: 1,000,000

	// Of a member.

	NameBytes  int   // 255
	PathBytes  int   // 1,024
	PathDepth  int   // names in a path: 32
	MemberSize int64 // bytes: 1 TiB
	Ratio      int64 // size in multiples of the compressed size: 1,100, and of DEFLATE data 1,032, as more can't be (RFC 1951)
	RatioFrom  int64 // bytes from which on Ratio counts, but for DEFLATE: 4 GiB, as images of empty disks and long logs are honest

	// Of a decoder.

	Dictionary int64 // bytes, of LZMA, xz and RAR: 64 MiB
	Window     int64 // bytes, of zstd: 128 MiB
}

// MaxDepth is the most that Limits.Depth may be.
const MaxDepth = 4

func (l Limits) withDefaults() Limits {
	setDefault(&l.Entries, 200_000)
	setDefault(&l.HeaderBytes, 64<<20)
	setDefault(&l.FetchBytes, 64<<20)
	setDefault(&l.Work, 30*time.Second)
	setDefault(&l.Links, 64)
	setDefault(&l.Depth, 2)
	l.Depth = min(l.Depth, MaxDepth)
	setDefault(&l.Nested, 1000)
	setDefault(&l.NestedSize, 1<<30)
	setDefault(&l.Known, 1_000_000)
	setDefault(&l.NameBytes, 255)
	setDefault(&l.PathBytes, 1024)
	setDefault(&l.PathDepth, 32)
	setDefault(&l.MemberSize, 1<<40)
	setDefault(&l.Ratio, 1100)
	setDefault(&l.RatioFrom, 4<<30)
	setDefault(&l.Dictionary, stream.MaxDictionary)
	setDefault(&l.Window, stream.MaxWindow)
	return l
}

func setDefault[T cmp.Ordered](n *T, to T) {
	var zero T
	if *n <= zero {
		*n = to
	}
}

// tooMany says whether so many bytes may not come of so few compressed ones, which are not DEFLATE data.
func (l *Limits) tooMany(size, compressed int64) bool {
	return size > l.MemberSize || size >= l.RatioFrom && size/l.Ratio >= compressed
}

func (l *Limits) zip() zip.Options {
	return zip.Options{MaxEntries: l.Entries, MaxDirectory: l.HeaderBytes, MaxSize: l.MemberSize, MaxRatio: l.Ratio, RatioFrom: l.RatioFrom}
}

func (l *Limits) tar() tar.Options {
	return tar.Options{
		Fetch: l.FetchBytes, Entries: l.Entries, NameBytes: l.HeaderBytes, MemberSize: l.MemberSize,
		Component: l.NameBytes, Path: l.PathBytes, Depth: l.PathDepth,
	}
}

func (l *Limits) rar() rar.Limits {
	return rar.Limits{Entries: l.Entries, HeaderBytes: l.HeaderBytes, BlockBytes: l.FetchBytes}
}

func (l *Limits) stream() stream.Limits {
	return stream.Limits{Dictionary: l.Dictionary, Window: l.Window}
}

// names returns the options of names within the limits.
func (l *Limits) names(o names.Options) names.Options {
	o.MaxName, o.MaxPath, o.MaxDepth, o.MaxFolders = l.NameBytes, l.PathBytes, l.PathDepth, l.Entries
	return o
}
