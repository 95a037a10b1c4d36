package archive

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync"
	"sync/atomic"

	"shoal/archive/names"
	"shoal/archive/rar"
	"shoal/archive/stream"
)

// rarSet is what is known of a RAR archive, in one or many volumes.
type rarSet struct {
	archive *Archive
	list    atomic.Pointer[rar.Archive]
	whole   flight[*rar.Archive] // without predictions

	mu      sync.Mutex
	checked map[int]*flight[bool] // of volumes: whether what was predicted of them is so
}

// errMispredicted is of a volume that is laid out otherwise than the first ones said.
var errMispredicted = errors.New("the volume is laid out otherwise")

// rarVolumes are the files of a set, as far as they are beside the first.
type rarVolumes struct {
	ctx     context.Context //nolint:containedctx // rar.Volumes has no place for one
	archive *Archive
}

func (v rarVolumes) Open(n int) (io.ReaderAt, int64, error) {
	f, err := v.archive.volume(n)
	if err != nil {
		return nil, 0, err
	}
	return readerAt(v.ctx, f), f.Size(), nil
}

// volume returns a file of a set. The error is fs.ErrNotExist.
func (a *Archive) volume(n int) (File, error) {
	if n == 0 {
		return a.file, nil
	}
	name, ok := rar.VolumeName(a.name, n)
	if ok && a.beside != nil {
		if f, ok := a.beside.File(name); ok {
			return f, nil
		}
	}
	return nil, fmt.Errorf("volume %d of %q: %w", n+1, a.name, fs.ErrNotExist)
}

// rarLimits are those of listing, which need not fetch little if all volumes are there.
func (a *Archive) rarLimits() rar.Limits {
	l := a.store.opts.Limits.rar()
	if a.mayFetchAll() {
		l.BlockBytes, l.Reads = math.MaxInt64, math.MaxInt
	}
	return l
}

// indexRAR lists a RAR archive.
func (a *Archive) indexRAR(ctx context.Context) ([]byte, error) {
	list, err := rar.Read(rarVolumes{ctx, a}, a.rarLimits())
	if err != nil {
		return nil, err
	}
	if err := a.readRARLinks(ctx, list); err != nil {
		return nil, err
	}
	return encodeRAR(list)
}

// readRARLinks reads what symbolic links say that format 4 has among the data. Those that can't be read so are not shown.
func (a *Archive) readRARLinks(ctx context.Context, list *rar.Archive) error {
	read := 0
	for i := range list.Members {
		m := &list.Members[i]
		if m.LinkKind != rar.Symlink || m.Link != "" || !m.Plain() || m.Predicted || m.Size <= 0 || m.Size > maxLink || m.Packed != m.Size {
			continue
		}
		if read++; read > a.store.opts.Limits.Links {
			return nil
		}
		parts := make([]extent, len(m.Extents))
		for i, e := range m.Extents {
			f, err := a.volume(e.Volume)
			if err != nil {
				return err
			}
			parts[i] = extent{f, e.Off, e.Len}
		}
		x, err := newExtents(parts)
		if err != nil {
			return err
		}
		b := make([]byte, m.Size)
		if n, err := readerAt(ctx, x).ReadAt(b, 0); n < len(b) {
			return fmt.Errorf("read the symbolic link %.80q: %w", m.Name, err)
		}
		m.Link = string(b)
	}
	return nil
}

// savedRAR is what is kept of a RAR archive.
type savedRAR struct {
	List    rar.Archive // without Truncated, an interface
	Partial string      // what that said
}

func encodeRAR(list *rar.Archive) ([]byte, error) {
	saved := savedRAR{List: *list}
	if list.Truncated != nil {
		saved.List.Truncated, saved.Partial = nil, list.Truncated.Error()
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&saved); err != nil {
		return nil, fmt.Errorf("keep the list of a RAR archive: %w", err)
	}
	return b.Bytes(), nil
}

// rarMembers makes the list of members of what was kept of a RAR archive.
func (a *Archive) rarMembers(saved []byte) ([]Member, error) {
	var kept savedRAR
	if err := gob.NewDecoder(bytes.NewReader(saved)).Decode(&kept); err != nil {
		return nil, fmt.Errorf("the list of a RAR archive: %w", err)
	}
	list := kept.List
	a.setPartial(kept.Partial)
	tree, err := names.Build(len(list.Members), func(i int) names.Entry { return rarName(&list, i) }, a.store.opts.Names)
	if err != nil {
		return nil, err
	}
	s := &rarSet{archive: a, checked: make(map[int]*flight[bool])}
	s.list.Store(&list)
	return a.listTree(tree, func(m *Member, node, entry int) bool {
		r := &list.Members[entry]
		m.ModTime, m.Run = r.ModTime, r.HostOS == rar.Unix && r.Mode&0o111 != 0
		switch {
		case m.Dir:
			return true
		case r.LinkKind == rar.Symlink || r.LinkKind == rar.WindowsSymlink:
			to, err := tree.Target(node, []byte(r.Link))
			m.Link = to
			return r.Link != "" && err == nil && to != ""
		case r.Size < 0:
			return false
		}
		m.Size = r.Size
		m.File = &rarFile{set: s, ordinal: entry, size: r.Size}
		return true
	}), nil
}

// rarName is what a RAR archive says of a name.
func rarName(list *rar.Archive, i int) names.Entry {
	m := &list.Members[i]
	e := names.Entry{Name: m.Name, UTF8: m.UTF8, Backslash: list.Format == 4}
	switch {
	case m.IsDir():
		e.Kind = names.Dir
	case m.LinkKind == rar.Symlink || m.LinkKind == rar.WindowsSymlink:
		e.Kind = names.Symlink
	case m.Mode&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0 || m.Version > 0:
		e.Kind = names.Special
	}
	return e
}

// rarFile is a member of a RAR archive.
type rarFile struct {
	set     *rarSet
	ordinal int
	size    int64

	mu   sync.Mutex
	of   *rar.Archive // that file was made of
	file File
}

var _ Located = (*rarFile)(nil)

func (f *rarFile) Size() int64 { return f.size }

// open returns where the data is, or what decodes it.
func (f *rarFile) open() (File, error) {
	list := f.set.list.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == list {
		return f.file, nil
	}
	file, err := f.set.open(list, f.ordinal)
	if err != nil {
		return nil, err
	}
	f.of, f.file = list, file
	return file, nil
}

// try does something with the file, and once more if it turns out to be elsewhere.
func (f *rarFile) try(ctx context.Context, do func(File) error) error {
	file, err := f.open()
	if err == nil {
		err = do(file)
	}
	if !errors.Is(err, errMispredicted) {
		return err
	}
	if err := f.set.relist(ctx); err != nil {
		return err
	}
	if file, err = f.open(); err != nil {
		return err
	}
	return do(file)
}

func (f *rarFile) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	err = f.try(ctx, func(file File) error {
		n, err = file.ReadAt(ctx, p, off)
		return err
	})
	return n, err
}

func (f *rarFile) Ready(off int64, n int) bool {
	file, err := f.open()
	return err == nil && file.Ready(off, n)
}

func (f *rarFile) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	err = f.try(ctx, func(file File) error {
		release, err = file.Await(ctx, off, n)
		return err
	})
	return release, err
}

func (f *rarFile) Locate(off int64, n int) (of File, at int64, ok bool) {
	file, err := f.open()
	if located, is := file.(Located); err == nil && is {
		return located.Locate(off, n)
	}
	return nil, 0, false
}

// open returns a member of a list.
func (s *rarSet) open(list *rar.Archive, ordinal int) (File, error) {
	m := &list.Members[ordinal]
	switch {
	case m.Encrypted:
		return nil, fmt.Errorf("%w: %.80q is encrypted", ErrUnsupported, m.Name)
	case m.Problem != "":
		return nil, fmt.Errorf("%w: %.80q: %s", ErrFormat, m.Name, m.Problem)
	case m.Size > s.archive.store.opts.Limits.MemberSize:
		return nil, fmt.Errorf("%w: %.80q claims %d bytes", ErrLimit, m.Name, m.Size)
	case !m.Plain():
		return s.unpack(list, ordinal)
	}
	parts := make([]extent, len(m.Extents))
	for i, e := range m.Extents {
		f, err := s.archive.volume(e.Volume)
		if err != nil {
			return nil, err
		}
		if m.Predicted {
			f = &rarVolume{f, s, e.Volume}
		}
		parts[i] = extent{f, e.Off, e.Len}
	}
	x, err := newExtents(parts)
	if err == nil && x.Size() != m.Size {
		err = fmt.Errorf("%w: of %.80q there are %d of %d bytes", ErrFormat, m.Name, x.Size(), m.Size)
	}
	return x, err
}

// unpack returns a compressed member.
func (s *rarSet) unpack(list *rar.Archive, ordinal int) (File, error) {
	m := &list.Members[ordinal]
	a := s.archive
	limits := &a.store.opts.Limits
	switch {
	case m.Dictionary > limits.Dictionary:
		return nil, fmt.Errorf("%w: %.80q needs %d bytes of memory", ErrUnsupported, m.Name, m.Dictionary)
	case !m.Solid && limits.tooMany(m.Size, m.Packed): // what a solid one repeats of those before it takes nothing
		return nil, fmt.Errorf("%w: %.80q claims %d bytes in %d", ErrLimit, m.Name, m.Size, m.Packed)
	}
	return &spooled{a.store, a.memberKey(ordinal), m.Size, a.level(), func(ctx context.Context) (io.ReadCloser, error) {
		volumes := make([]stream.RARVolume, 0, list.Volumes)
		for n := range list.Volumes {
			f, err := a.volume(n)
			if err != nil {
				return nil, err
			}
			name := a.name
			if n > 0 {
				name, _ = rar.VolumeName(a.name, n)
			}
			volumes = append(volumes, stream.RARVolume{Name: name, R: readerAt(ctx, f), Size: f.Size()})
		}
		open := func() (io.ReadCloser, error) { return limits.stream().OpenRAR(volumes, ordinal, m.Size) }
		if list.Format == 4 && m.Unpack != 15 && m.Unpack != 20 && m.Unpack != 26 { // it may have PPMd
			return a.store.ppmd[a.level()].reader(ctx, open), nil
		}
		return open()
	}}, nil
}

// relist reads the headers of all volumes, as what was predicted of one is wrong.
func (s *rarSet) relist(ctx context.Context) error {
	a, old := s.archive, s.list.Load()
	list, err := s.whole.do(ctx, a.store, func(ctx context.Context) (*rar.Archive, error) {
		list, err := rar.ReadAll(rarVolumes{ctx, a}, a.rarLimits())
		if err != nil {
			return nil, err
		}
		for i := range old.Members {
			if i >= len(list.Members) || list.Members[i].Name != old.Members[i].Name || list.Members[i].Size != old.Members[i].Size {
				return nil, fmt.Errorf("%w: its volumes have other members than the first ones say", ErrFormat)
			}
			list.Members[i].Link = old.Members[i].Link // which may have been read
		}
		return list, nil
	})
	if err != nil {
		return err
	}
	if saved, err := encodeRAR(list); err == nil {
		if a.kind == splitKind {
			saved = append([]byte{cutVolumes}, saved...)
		}
		a.store.writeIndex(a.key+listSuffix, saved)
	}
	s.list.Store(list)
	return nil
}

// check says whether what was predicted of a volume is so. It reads its headers the first time.
func (s *rarSet) check(ctx context.Context, volume int) error {
	held, err := s.volumeCheck(volume).do(ctx, s.archive.store, func(ctx context.Context) (bool, error) {
		return s.list.Load().Verify(rarVolumes{ctx, s.archive}, volume)
	})
	if err == nil && !held {
		err = errMispredicted
	}
	return err
}

func (s *rarSet) volumeCheck(volume int) *flight[bool] {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.checked[volume]
	if f == nil {
		f = new(flight[bool])
		s.checked[volume] = f
	}
	return f
}

// rarVolume is a volume in which something was predicted, which is looked at before it is used.
type rarVolume struct {
	File
	set *rarSet
	n   int
}

var _ Located = (*rarVolume)(nil)

func (v *rarVolume) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := v.set.check(ctx, v.n); err != nil {
		return 0, err
	}
	return v.File.ReadAt(ctx, p, off)
}

func (v *rarVolume) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	if err := v.set.check(ctx, v.n); err != nil {
		return nil, err
	}
	return v.File.Await(ctx, off, n)
}

func (v *rarVolume) held() bool {
	held, known := v.set.volumeCheck(v.n).get()
	return held && known
}

func (v *rarVolume) Ready(off int64, n int) bool { return v.held() && v.File.Ready(off, n) }

func (v *rarVolume) Locate(off int64, n int) (f File, at int64, ok bool) {
	if !v.held() {
		return nil, 0, false
	}
	if located, ok := v.File.(Located); ok {
		return located.Locate(off, n)
	}
	return v.File, off, true
}
