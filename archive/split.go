package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// maxParts is how many parts a file may be cut into.
const maxParts = 10_000

// What a file called .001 is: the first part of a file that was cut, or the first volume of a RAR archive.
const (
	cutFile    = 'c'
	cutVolumes = 'r'
)

// indexSplit finds the parts of a file that was cut, by their names alone but for the first bytes.
func (a *Archive) indexSplit(ctx context.Context) ([]byte, error) {
	volumes, err := isRAR(ctx, a.file)
	if err != nil {
		return nil, fmt.Errorf("look at the first part of %q: %w", a.name, err)
	}
	// A RAR archive that was cut begins with a signature as well, but its second part does not.
	if second, err := a.volume(1); volumes && err == nil {
		if volumes, err = isRAR(ctx, second); err != nil {
			return nil, fmt.Errorf("look at the second part of %q: %w", a.name, err)
		}
	}
	if volumes {
		list, err := a.indexRAR(ctx)
		return append([]byte{cutVolumes}, list...), err
	}
	for n := 1; ; n++ {
		switch _, err := a.volume(n); {
		case errors.Is(err, fs.ErrNotExist) && n > 1:
			return binary.AppendUvarint([]byte{cutFile}, uint64(n)), nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%w: there is no second part of %q", ErrFormat, a.name)
		case n == maxParts:
			return nil, fmt.Errorf("%w: %q has more than %d parts", ErrLimit, a.name, maxParts)
		}
	}
}

// isRAR says whether a file begins with the signature of RAR.
func isRAR(ctx context.Context, f File) (bool, error) {
	head := make([]byte, 4)
	if n, err := readerAt(ctx, f).ReadAt(head, 0); n < len(head) && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(head) == "Rar!", nil
}

// errKept is of what is kept of an archive and makes no sense. It is read again.
var errKept = errors.New("what is kept of the archive is damaged")

// splitMembers makes the list of members of what was kept: one, which is all parts together.
func (a *Archive) splitMembers(saved []byte) ([]Member, error) {
	switch {
	case len(saved) == 0:
		return nil, errKept
	case saved[0] == cutVolumes:
		return a.rarMembers(saved[1:])
	case saved[0] != cutFile:
		return nil, errKept
	}
	count, n := binary.Uvarint(saved[1:])
	if n <= 0 || count > maxParts {
		return nil, errKept
	}
	parts := make([]extent, count)
	for i := range parts {
		f, err := a.volume(i)
		if err != nil {
			return nil, err
		}
		parts[i] = extent{f, 0, f.Size()}
	}
	f, err := newExtents(parts)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(a.name, a.name[len(a.name)-len(".001"):])
	inside := a.store.archive(a.memberKey(0), name, f, nil, a.depth) // being cut is no depth
	return []Member{{Parent: -1, Name: name, Size: f.Size(), File: f, Archive: inside}}, nil
}
