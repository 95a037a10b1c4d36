//go:build linux

package archives

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"shoal/archive/names"
)

// entry is what another program says of a member.
type entry struct {
	name    string // as it is in the archive
	kind    names.Kind
	link    string
	run     bool
	size    int64
	modTime time.Time
	digest  string // empty if the program could not read it
}

// bsdtar has bsdtar make a tar of an archive, which is read here. The error is what it complains of; there may be entries nevertheless.
func bsdtar(ctx context.Context, name string) ([]entry, error) {
	cmd := exec.CommandContext(ctx, "bsdtar", "-cf", "-", "--format=pax", "@"+name)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	list, err := readTar(tar.NewReader(out))
	_, _ = io.Copy(io.Discard, out) // so that it can end
	if waited := cmd.Wait(); waited != nil {
		err = fmt.Errorf("%w: %.200s", waited, complaint.String())
	}
	return list, err
}

// readTar returns what bsdtar wrote. Hard links have the content of what they are to.
func readTar(r *tar.Reader) (list []entry, err error) {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		e := entry{name: h.Name, size: h.Size, modTime: h.ModTime, run: h.Mode&0o111 != 0}
		switch h.Typeflag {
		case tar.TypeReg:
			if e.digest, err = Digest(r, h.Size); err != nil {
				return list, err
			}
		case tar.TypeDir:
			e.kind, e.size = names.Dir, 0
		case tar.TypeSymlink:
			e.kind, e.link = names.Symlink, h.Linkname
		case tar.TypeLink:
			e.kind = names.Special
			for _, of := range slices.Backward(list) {
				if of.name == h.Linkname && of.kind == names.File {
					e.kind, e.size, e.digest = names.File, of.size, of.digest
					break
				}
			}
		default:
			e.kind = names.Special
		}
		list = append(list, e)
	}
}

// expect returns what Shoal has to show of what another program found, by the rules of package names.
func expect(list []entry) (map[string]Member, error) {
	tree, err := names.Build(len(list), func(i int) names.Entry {
		return names.Entry{Name: list[i].name, Kind: list[i].kind}
	}, names.Options{})
	if err != nil {
		return nil, err
	}
	members := make(map[string]Member)
	for node := 1; node < tree.Len(); node++ {
		n := tree.Node(node)
		m := Member{Path: tree.Path(node), Dir: n.Kind == names.Dir}
		if n.Entry != names.NoEntry {
			e := &list[n.Entry]
			m.ModTime, m.Run = e.modTime, e.run
			switch n.Kind {
			case names.Symlink:
				link, err := tree.Target(node, []byte(e.link))
				if err != nil || link == "" {
					continue
				}
				m.Link = link
			case names.File:
				m.Size, m.Digest = e.size, e.digest
			}
		}
		members[m.Path] = m
	}
	return members, nil
}

// compare says how Shoal's list differs from what it should be, or "".
func compare(got *Listing, want map[string]Member, options tolerance) string {
	var said []string
	seen := make(map[string]bool)
	for _, m := range got.Members {
		w, ok := want[m.Path]
		seen[m.Path] = true
		switch {
		case !ok:
			said = append(said, fmt.Sprintf("%q is not there", m.Path))
			continue
		case m.Dir != w.Dir:
			said = append(said, fmt.Sprintf("%q is a folder: %t, want %t", m.Path, m.Dir, w.Dir))
		case m.Link != w.Link:
			said = append(said, fmt.Sprintf("%q links to %q, want %q", m.Path, m.Link, w.Link))
		case m.Link == "" && m.Size != w.Size:
			said = append(said, fmt.Sprintf("%q has %d bytes, want %d", m.Path, m.Size, w.Size))
		case m.Digest != w.Digest:
			said = append(said, fmt.Sprintf("%q is %s %s, want %s", m.Path, m.Digest, m.Refused, w.Digest))
		}
		if d := m.ModTime.Sub(w.ModTime).Abs(); d > options.time && !m.ModTime.IsZero() && !options.noTime {
			said = append(said, fmt.Sprintf("%q is of %v, want %v", m.Path, m.ModTime, w.ModTime))
		}
		if m.Run != w.Run && !m.Dir && m.Link == "" && !options.noMode {
			said = append(said, fmt.Sprintf("%q is a program: %t, want %t", m.Path, m.Run, w.Run))
		}
	}
	for name := range want {
		if !seen[name] {
			said = append(said, fmt.Sprintf("%q is missing", name))
		}
	}
	slices.Sort(said)
	if len(said) > 6 {
		said = append(said[:6], fmt.Sprintf("and %d more", len(said)-6))
	}
	return strings.Join(said, "\n\t")
}

// tolerance is what need not be the same.
type tolerance struct {
	time           time.Duration // by how much times may differ
	noTime, noMode bool
}

var _ = fs.ErrNotExist
var _ = path.Base
