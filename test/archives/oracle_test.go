//go:build linux

package archives

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
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

// oracle is another program that reads archives.
type oracle struct {
	name  string
	read  func(ctx context.Context, archive, work string) ([]entry, error)
	modes bool // it knows what is a program
}

// oracles are who can say what is in an archive, by its extension. They are asked in this order until one agrees: each of them is wrong
// somewhere, or refuses what others read. An error is what it complains of; there may be entries nevertheless.
var oracles = map[string][]oracle{
	".tar": {{"bsdtar", bsdtar, true}, {"Go's archive/tar", goTar, true}},
	".zip": {{"bsdtar", bsdtar, true}, {"Go's archive/zip", goZip, true}, {"unzip", unzip, true}},
	".rar": {{"bsdtar", bsdtar, true}, {"unar", unar, false}},
	".gz":  {{"gzip", decompress("gzip"), false}},
	".bz2": {{"bzip2", decompress("bzip2"), false}},
	".xz":  {{"xz", decompress("xz"), false}},
	".zst": {{"zstd", decompress("zstd"), false}},
}

// oraclesOf returns who can say what is in an archive of that name.
func oraclesOf(name string) []oracle {
	stem, ext := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
	if slices.Contains([]string{".tgz", ".tbz", ".tbz2", ".txz", ".tzst"}, ext) || path.Ext(stem) == ".tar" {
		return oracles[".tar"][:1]
	}
	return oracles[ext]
}

// decompress has a program decompress a file that is no archive, and so has no times.
func decompress(program string) func(ctx context.Context, name, _ string) ([]entry, error) {
	return func(ctx context.Context, name, _ string) ([]entry, error) {
		out, complaint := exec.CommandContext(ctx, program, "-dc", name).Output() // of what is behind the data some complain
		digest, err := Digest(bytes.NewReader(out), int64(len(out)))
		base := filepath.Base(name)
		e := entry{name: strings.TrimSuffix(base, path.Ext(base)), size: int64(len(out)), digest: digest}
		return []entry{e}, errors.Join(complaint, err)
	}
}

// bsdtar has bsdtar make a tar of an archive, which is read here.
func bsdtar(ctx context.Context, name, _ string) ([]entry, error) {
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

// goTar has Go's standard library read a tar.
func goTar(_ context.Context, name, _ string) ([]entry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readTar(tar.NewReader(f))
}

// goZip has Go's standard library read a zip. What it cannot read has no digest.
func goZip(_ context.Context, name, _ string) (list []entry, err error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	for _, f := range z.File {
		e := entry{name: f.Name, modTime: f.Modified, run: f.Mode()&0o111 != 0, size: int64(f.UncompressedSize64)}
		content, err := f.Open()
		if err == nil {
			e.digest, err = Digest(content, e.size)
		}
		switch {
		case f.Mode().IsDir():
			e.kind = names.Dir
		case f.Mode()&fs.ModeSymlink != 0:
			e.kind = names.Symlink
			if content, err := f.Open(); err == nil {
				link, _ := io.ReadAll(content)
				e.link = string(link)
			}
		case !f.Mode().IsRegular():
			e.kind = names.Special
		case err != nil:
			e.digest = ""
		}
		list = append(list, e)
	}
	return list, nil
}

// unzip has Info-ZIP's unzip unpack a zip.
func unzip(ctx context.Context, name, work string) ([]entry, error) {
	return unpacked(work, exec.CommandContext(ctx, "unzip", "-qq", "-o", "-P", "none", "-d", work, name))
}

// unar has unar unpack an archive.
func unar(ctx context.Context, name, work string) ([]entry, error) {
	return unpacked(work, exec.CommandContext(ctx, "unar", "-quiet", "-force-overwrite", "-no-directory", "-password", "none",
		"-output-directory", work, name))
}

// unpacked runs a program and returns what is in a folder then.
func unpacked(folder string, cmd *exec.Cmd) (list []entry, err error) {
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	said, complains := cmd.CombinedOutput()
	err = fs.WalkDir(os.DirFS(folder), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{name: name, modTime: st.ModTime(), run: st.Mode()&0o111 != 0, size: st.Size()}
		switch full := filepath.Join(folder, name); {
		case d.IsDir():
			e.kind = names.Dir
		case d.Type() == fs.ModeSymlink:
			e.kind = names.Symlink
			e.link, err = os.Readlink(full)
		case d.Type().IsRegular():
			var f *os.File
			if f, err = os.Open(full); err != nil {
				return err
			}
			defer f.Close()
			e.digest, err = Digest(f, e.size)
		default:
			e.kind = names.Special
		}
		list = append(list, e)
		return err
	})
	if complains != nil {
		err = errors.Join(err, fmt.Errorf("%w: %.200s", complains, said))
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
		case tar.TypeReg, tar.TypeGNUSparse:
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

// opinion is how far another program agrees with Shoal.
type opinion struct {
	differs []string        // in names, kinds, sizes, targets of links, bytes
	dated   map[string]bool // members of which both know the time: whether it is the same
	modes   map[string]bool // files that both have: whether they are programs for both, or for none
}

// compare holds Shoal's list against what it should be. What Shoal refuses to read need not be there, nor have the same bytes.
func compare(got *Listing, want map[string]Member) *opinion {
	o := &opinion{dated: make(map[string]bool), modes: make(map[string]bool)}
	differs := func(format string, args ...any) { o.differs = append(o.differs, fmt.Sprintf(format, args...)) }
	seen := make(map[string]bool)
	for _, m := range got.Members {
		w, ok := want[m.Path]
		seen[m.Path] = true
		switch {
		case !ok && m.Refused != "":
			continue
		case !ok:
			differs("%q is not there", m.Path)
			continue
		case m.Dir != w.Dir:
			differs("%q is a folder: %t, want %t", m.Path, m.Dir, w.Dir)
		case m.Link != w.Link:
			differs("%q links to %q, want %q", m.Path, m.Link, w.Link)
		case m.Refused != "": // a program that could not read it either may have left anything
			continue
		case m.Link == "" && m.Size != w.Size:
			differs("%q has %d bytes, want %d", m.Path, m.Size, w.Size)
		case m.Digest != w.Digest:
			differs("%q has the digest %s, want %s", m.Path, m.Digest, w.Digest)
		}
		if !w.ModTime.IsZero() && !m.ModTime.IsZero() {
			o.dated[m.Path] = m.ModTime.Sub(w.ModTime).Abs() <= clock
		}
		if !m.Dir && m.Link == "" {
			o.modes[m.Path] = m.Run == w.Run
		}
	}
	for name := range want {
		if !seen[name] {
			differs("%q is missing", name)
		}
	}
	slices.Sort(o.differs)
	return o
}

// clock is by how much times may differ: DOS counts them by two seconds, and a program may round that up or down.
const clock = 2 * time.Second
