package stream

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/nwaples/rardecode/v2"
)

// RARVolume is a file of a set, with the name that it has beside the others, as that tells which one is next.
type RARVolume struct {
	Name string
	R    io.ReaderAt
	Size int64 // in bytes
}

// OpenRAR is Limits.OpenRAR with the defaults.
func OpenRAR(volumes []RARVolume, ordinal int, size int64) (io.ReadCloser, error) {
	return Limits{}.OpenRAR(volumes, ordinal, size)
}

// OpenRAR starts decoding the member of an ordinal among the files and folders of a RAR archive (4 or 5), in the order of their
// headers. The first volume comes first. Everything before it in a solid archive is decoded, and its headers are read, on the
// way: that may be long. The size that is known of the member has to agree, or the archive is ErrFormat, as is one that has
// fewer members. See Open for the other errors.
func (l Limits) OpenRAR(volumes []RARVolume, ordinal int, size int64) (io.ReadCloser, error) {
	l = l.withDefaults()
	if len(volumes) == 0 {
		return nil, fmt.Errorf("rar: %w: no volumes", ErrFormat)
	}
	src := &source{}
	d := &decoder{what: "rar " + volumes[0].Name, src: src}
	files := &rarFiles{volumes: volumes, src: src}
	err := d.guard(func() error {
		r, err := rardecode.OpenReader(volumes[0].Name, rardecode.FileSystem(files), rardecode.MaxDictionarySize(l.Dictionary))
		if err != nil {
			return err
		}
		if err := rarSeek(r, ordinal, size); err != nil {
			r.Close()
			return err
		}
		d.r, d.close = r, func() { r.Close() }
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.begun = true
	return d, nil
}

// rarSeek goes to a member.
func rarSeek(r *rardecode.ReadCloser, ordinal int, size int64) error {
	var h *rardecode.FileHeader
	for i := range ordinal + 1 {
		var err error
		if h, err = r.Next(); err != nil {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("%w: it has %d members, not %d", ErrFormat, i, ordinal+1)
			}
			return err
		}
	}
	switch {
	case h == nil || h.IsDir:
		return fmt.Errorf("%w: member %d is not a file", ErrFormat, ordinal)
	case h.Encrypted:
		return fmt.Errorf("%w: member %d is encrypted", ErrUnsupported, ordinal)
	case !h.UnKnownSize && h.UnPackedSize != size:
		return fmt.Errorf("%w: member %d has %d bytes, not %d", ErrFormat, ordinal, h.UnPackedSize, size)
	}
	return nil
}

// rarFiles is what the decoder sees of the volumes.
type rarFiles struct {
	volumes []RARVolume
	src     *source
}

// Open opens a volume by its name.
func (f *rarFiles) Open(name string) (fs.File, error) {
	for i := range f.volumes {
		if v := &f.volumes[i]; v.Name == name {
			return &rarFile{SectionReader: io.NewSectionReader(v.R, 0, v.Size), volume: v, src: f.src}, nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// rarFile is a volume, open.
type rarFile struct {
	*io.SectionReader // to seek over members that are not wanted
	volume            *RARVolume
	src               *source
}

// Read reads on, and remembers errors.
func (f *rarFile) Read(p []byte) (int, error) {
	n, err := f.SectionReader.Read(p)
	f.src.note(err)
	return n, err
}

// Close has nothing to do.
func (f *rarFile) Close() error { return nil }

// Stat describes the volume.
func (f *rarFile) Stat() (fs.FileInfo, error) { return rarInfo{f.volume}, nil }

// rarInfo is a volume as an fs.FileInfo.
type rarInfo struct{ *RARVolume }

func (i rarInfo) Name() string       { return i.RARVolume.Name }
func (i rarInfo) Size() int64        { return i.RARVolume.Size }
func (i rarInfo) Mode() fs.FileMode  { return 0o444 }
func (i rarInfo) ModTime() time.Time { return time.Time{} }
func (i rarInfo) IsDir() bool        { return false }
func (i rarInfo) Sys() any           { return nil }
