package archive

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Archive is a file that may be shown as a folder. It is safe for concurrent use.
type Archive struct {
	store  *Store
	key    string // below which what is known of it is kept
	name   string
	kind   kind
	file   File
	beside Folder
	depth  int // archives that it is in, and itself

	list flight[[]Member]
}

// Member is a file, folder or link in an archive. The list of these is the same each time.
type Member struct {
	Parent  int // place in the list of the folder it is in, which comes before it; -1 at the top
	Name    string
	Size    int64     // in bytes
	ModTime time.Time // zero if the archive does not say
	Dir     bool
	Run     bool   // a program
	Link    string // what a symbolic link says, which is inside the archive; empty if it is none

	File    File     // nil for folders and links
	Archive *Archive // of a file that may be shown as a folder itself; else nil
}

// Archive returns a file as an archive, or nil if it has the name of none, or of one that is better left a file. What is known of it is kept
// under the key, which is a path of safe names; whoever gives it says by that that the file will never be another one. Nothing is read.
func (s *Store) Archive(key, name string, f File, beside Folder) *Archive {
	s.remember(key)
	return s.archive(key, name, f, beside, 1)
}

func (s *Store) archive(key, name string, f File, beside Folder, depth int) *Archive {
	k := kindOf(name)
	if k == noArchive || depth > s.opts.Depth {
		return nil
	}
	return &Archive{store: s, key: key, name: name, kind: k, file: f, beside: beside, depth: depth}
}

// Refused returns why the archive cannot be shown as a folder, if that is known. It reads a small file on the disk at most.
func (a *Archive) Refused() error {
	if err := a.list.failed(); err != nil {
		return err
	}
	if _, known := a.list.get(); known {
		return nil
	}
	if reason := a.store.readIndex(a.key + refusedSuffix); reason != nil {
		return refusal(reason)
	}
	return nil
}

// WasRefused returns why the archive that a Store has under the key cannot be shown as a folder, if that was found out before. dir is
// Options.Dir of that Store, which need not be open. It reads a small file on the disk.
func WasRefused(dir, key string) error {
	// What cannot be read now is read again when somebody looks into the archive, and then logged.
	if reason, err := readIndexFile(indexPath(dir, key+refusedSuffix)); err == nil && reason != nil {
		return refusal(reason)
	}
	return nil
}

func refusal(reason []byte) error { return fmt.Errorf("%w: %s", ErrFormat, reason) }

const (
	listSuffix    = "/list"
	refusedSuffix = "/refused"
	pointsSuffix  = ".points"
)

// Members lists what is inside. It reads the archive if nobody ever has, and waits for that as long as ctx lasts. Errors of the archive,
// which are wrapped ones of this package or of those for the formats, come again; others, of reading it, need not.
func (a *Archive) Members(ctx context.Context) ([]Member, error) {
	if err := a.Refused(); err != nil {
		return nil, err
	}
	return a.list.do(ctx, &a.store.tasks, a.read)
}

// read lists what is inside, from what is kept of it or from the archive.
func (a *Archive) read(ctx context.Context) (list []Member, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: reading it failed: %v", ErrFormat, p)
		}
		if err != nil && Refuses(err) {
			a.store.log.Warn("an archive stays a file", "archive", a.key, "name", a.name, "err", err)
			a.store.writeIndex(a.key+refusedSuffix, []byte(err.Error()))
		}
	}()
	if saved := a.store.readIndex(a.key + listSuffix); saved != nil {
		if list, err := a.members(ctx, saved); err == nil {
			return list, nil
		}
		if err := os.Remove(a.store.indexPath(a.key + listSuffix)); err != nil {
			a.store.log.Warn("what is known of an archive cannot be removed", "archive", a.key, "err", err)
		}
	}
	saved, err := a.index(ctx)
	if err != nil {
		return nil, err
	}
	if list, err = a.members(ctx, saved); err != nil {
		return nil, err
	}
	a.store.writeIndex(a.key+listSuffix, saved)
	return list, nil
}

// index reads the archive, and returns what is to be kept of that.
func (a *Archive) index(ctx context.Context) ([]byte, error) {
	switch a.kind {
	case zipKind:
		return a.indexZip(ctx)
	case tarKind:
		return a.indexTar(ctx)
	case rarKind:
		return a.indexRAR(ctx)
	case splitKind:
		return a.indexSplit(ctx)
	default:
		return nil, fmt.Errorf("%w: %q", ErrUnsupported, a.name)
	}
}

// members makes the list of what was kept.
func (a *Archive) members(_ context.Context, saved []byte) ([]Member, error) {
	switch a.kind {
	case zipKind:
		return a.zipMembers(saved)
	case tarKind:
		return a.tarMembers(saved)
	case rarKind:
		return a.rarMembers(saved)
	case splitKind:
		return a.splitMembers(saved)
	default:
		return nil, fmt.Errorf("%w: %q", ErrUnsupported, a.name)
	}
}

// memberKey is where what is known of a member is kept.
func (a *Archive) memberKey(entry int) string { return a.key + "/" + strconv.Itoa(entry) }

// nest returns a member as an archive, if it may be one.
func (a *Archive) nest(entry int, name string, f File) *Archive {
	if f == nil {
		return nil
	}
	return a.store.archive(a.memberKey(entry), name, f, nil, a.depth+1)
}
