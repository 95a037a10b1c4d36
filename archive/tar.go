package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"shoal/archive/names"
	"shoal/archive/tar"
)

// indexTar lists a tar archive: all of it if that is there, else as much as may be fetched for that.
func (a *Archive) indexTar(ctx context.Context) ([]byte, error) {
	opts := a.store.opts.Limits.tar()
	// Whether all is there is not known of what nobody has read since it was last in use. The walk begins with that block anyway.
	var first [512]byte
	if _, err := readerAt(ctx, a.file).ReadAt(first[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the first header: %w", err)
	}
	if a.mayFetchAll() {
		opts.Fetch = -1
	}
	x, err := tar.Walk(ctx, readerAt(ctx, a.file), a.file.Size(), opts)
	if err != nil {
		return nil, err
	}
	return x.Append(nil), nil
}

// kinds are those of tar's members.
var tarKinds = map[tar.Type]names.Kind{
	tar.File: names.File, tar.HardLink: names.File, tar.Dir: names.Dir, tar.Symlink: names.Symlink,
}

// tarMembers makes the list of members of what was kept of a tar archive, which data is.
func (a *Archive) tarMembers(data File, saved []byte) ([]Member, error) {
	x, err := tar.ParseIndex(saved, data.Size())
	if err != nil {
		return nil, err
	}
	switch {
	case x.Truncated:
		a.setPartial("its headers are all over it, and only the first ones were fetched")
	case x.Damage != "":
		a.setPartial("it is damaged: " + x.Damage)
	}
	tree, err := names.Build(len(x.Members), func(i int) names.Entry {
		m := &x.Members[i]
		e := names.Entry{Name: m.Name, Kind: tarKinds[m.Type]}
		if m.Type == tar.HardLink && m.Target < 0 {
			e.Kind = names.Special // of something that is not there
		}
		return e
	}, a.store.opts.Names)
	if err != nil {
		return nil, err
	}
	files := make([]File, len(x.Members)) // once made, for hard links, each of which would have a copy of where its file lies
	return a.listTree(tree, func(m *Member, node, entry int) bool {
		t := &x.Members[entry]
		m.ModTime, m.Run = t.ModTime, t.Mode&0o111 != 0
		switch {
		case m.Dir:
			return true
		case t.Type == tar.Symlink:
			to, err := tree.Target(node, []byte(t.Link))
			m.Link = to
			return err == nil && to != ""
		}
		of := entry
		if t.Type == tar.HardLink {
			of = t.Target
		}
		if files[of] == nil {
			files[of] = tarFile(data, &x.Members[of])
		}
		m.File, m.Size = files[of], t.Size
		return m.File != nil
	}), nil
}

// tarFile returns the content of a member of an archive that is data; nil if that is not all there.
func tarFile(data File, t *tar.Member) File {
	parts := make([]extent, len(t.Extents))
	for i, e := range t.Extents {
		parts[i] = extent{data, e.Off, e.Len}
		if e.Off == tar.Hole {
			parts[i] = extent{nil, 0, e.Len}
		}
	}
	f, err := newExtents(parts)
	if err != nil || f.Size() != t.Size {
		return nil
	}
	return f
}
