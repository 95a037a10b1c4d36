// Package archives holds Shoal's reading of archives against archives that others made to test theirs.
//
// Each is read by a process of its own (the command in list), which has little memory and time, so that what ends one in disorder is
// seen as that.
package archives

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"shoal/archive"
	"shoal/archive/spool"
)

// Listing is what an archive has inside.
type Listing struct {
	Refused string // why nothing is shown, or empty
	Members []Member

	// Of the process that made the list, in bytes: the memory and the addresses that it had at the most.
	Resident, Addresses int64 `json:",omitempty"`
}

// Member is a file, folder or link in it.
type Member struct {
	Path    string
	Dir     bool      `json:",omitempty"`
	Link    string    `json:",omitempty"` // empty for what is no symbolic link
	Run     bool      `json:",omitempty"`
	Size    int64     `json:",omitempty"` // of files, in bytes
	ModTime time.Time `json:",omitzero"`
	Digest  string    `json:",omitempty"` // of the content of files
	Refused string    `json:",omitempty"` // why the content can't be read, or empty
}

// List reads an archive whole, from the files in a folder of the disk, and keeps what it needs for that below work. It does so twice: what
// was kept has to give the same list. The error is that of a bug, or of the disk.
func List(ctx context.Context, name, work string) (*Listing, error) {
	first, err := list(ctx, name, work, true)
	if err != nil || first.Refused != "" {
		return first, err
	}
	again, err := list(ctx, name, work, false)
	if err != nil {
		return nil, err
	}
	for i := range again.Members {
		again.Members[i].Digest, again.Members[i].Refused = first.Members[i].Digest, first.Members[i].Refused
	}
	if !reflect.DeepEqual(first, again) {
		return nil, fmt.Errorf("from what was kept of %q there is another list: %+v, not %+v", filepath.Base(name), again, first)
	}
	return first, nil
}

func list(ctx context.Context, name, work string, content bool) (l *Listing, err error) {
	s, err := archive.New(archive.Options{
		Dir:    filepath.Join(work, "index"),
		Spool:  spool.Options{Dir: filepath.Join(work, "spool"), Limit: func() int64 { return spoolLimit }},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	beside := folder(filepath.Dir(name))
	f, ok := beside.File(filepath.Base(name))
	if !ok {
		return nil, fmt.Errorf("there is no file %q", name)
	}
	a := s.Archive("fixture", filepath.Base(name), f, beside)
	if a == nil {
		return nil, fmt.Errorf("%q has the name of no archive", filepath.Base(name))
	}
	members, err := a.Members(ctx)
	if err != nil {
		if !archive.Refuses(err) {
			return nil, fmt.Errorf("list %q: %w", filepath.Base(name), err)
		}
		return &Listing{Refused: err.Error()}, nil
	}
	if len(members) == 1 && members[0].Archive != nil && filepath.Ext(name) == ".001" { // all parts of what was cut
		if members, err = members[0].Archive.Members(ctx); err != nil {
			return nil, fmt.Errorf("list what %q is a part of: %w", filepath.Base(name), err)
		}
	}
	l = &Listing{}
	paths := make([]string, len(members))
	for i := range members {
		m := &members[i]
		out := Member{Path: m.Name, Dir: m.Dir, Link: m.Link, Run: m.Run, Size: m.Size, ModTime: m.ModTime}
		if m.Parent >= i || m.Parent < -1 {
			return nil, fmt.Errorf("member %d of %q is in member %d", i, filepath.Base(name), m.Parent)
		}
		if m.Parent >= 0 {
			out.Path = paths[m.Parent] + "/" + m.Name
		}
		if paths[i] = out.Path; m.Hidden {
			continue
		}
		if m.File != nil && content {
			if err := read(ctx, m.File, &out); err != nil {
				return nil, err
			}
		}
		l.Members = append(l.Members, out)
	}
	return l, nil
}

// spoolLimit is how much may be decoded to the disk, in bytes.
const spoolLimit = 1 << 30

// read fills in what a file's content is. It reads the content forward, and, as far as that is short, backward, too.
func read(ctx context.Context, f archive.File, out *Member) error {
	if f.Size() != out.Size {
		return fmt.Errorf("%q has %d bytes as a file and %d in the list", out.Path, f.Size(), out.Size)
	}
	digest, err := Digest(io.NewSectionReader(at{ctx, f}, 0, f.Size()), f.Size())
	if err != nil {
		if !archive.Refuses(err) {
			return fmt.Errorf("read %q: %w", out.Path, err)
		}
		out.Refused = err.Error()
		return nil
	}
	out.Digest = digest
	if f.Size() > backward {
		return nil
	}
	b := make([]byte, f.Size())
	for end := f.Size(); end > 0; {
		start := max(0, end-backwardStep)
		if n, err := f.ReadAt(ctx, b[start:end], start); int64(n) != end-start {
			return fmt.Errorf("read %q backward: %w", out.Path, err)
		}
		end = start
	}
	if again, err := Digest(bytes.NewReader(b), f.Size()); err != nil || again != digest {
		return fmt.Errorf("%q has other bytes when it is read backward (%w)", out.Path, err)
	}
	return nil
}

const (
	backward     = 4 << 20 // of files up to this length, in bytes
	backwardStep = 99_991
)

// at is a File as an io.ReaderAt.
type at struct {
	ctx  context.Context //nolint:containedctx // io.ReaderAt has no place for one
	file archive.File
}

func (a at) ReadAt(p []byte, off int64) (int, error) { return a.file.ReadAt(a.ctx, p, off) }

// Digest returns what tells a content from others: SHA-256 of the parts that are not zeros only, each behind its place, as there are
// fixtures of 60 GB with nothing in them. The error is that of r, or io.ErrUnexpectedEOF if it ends before size bytes.
func Digest(r io.Reader, size int64) (string, error) {
	sum := sha256.New()
	block := make([]byte, 1<<20)
	zeros := make([]byte, len(block))
	for off := int64(0); off < size; {
		part := block[:min(int64(len(block)), size-off)]
		if _, err := io.ReadFull(r, part); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		if !bytes.Equal(part, zeros[:len(part)]) {
			sum.Write(binary.BigEndian.AppendUint64(nil, uint64(off)))
			sum.Write(part)
		}
		off += int64(len(part))
	}
	return fmt.Sprintf("%d:%s", size, hex.EncodeToString(sum.Sum(nil)[:12])), nil
}

// folder is where an archive lies on the disk, with its other volumes.
type folder string

// File returns a file, open until the process ends.
func (f folder) File(name string) (archive.File, bool) {
	if filepath.Base(name) != name {
		return nil, false
	}
	file, err := os.Open(filepath.Join(string(f), name))
	if err != nil {
		return nil, false
	}
	st, err := file.Stat()
	if err != nil || !st.Mode().IsRegular() {
		file.Close()
		return nil, false
	}
	return local{file, st.Size()}, true
}

// local is a file of the disk.
type local struct {
	*os.File
	size int64
}

func (l local) Size() int64 { return l.size }

func (l local) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return l.File.ReadAt(p, off)
}

func (local) Ready(int64, int) bool { return true }

func (local) Await(ctx context.Context, _ int64, _ int) (release func(), err error) {
	return func() {}, ctx.Err()
}
