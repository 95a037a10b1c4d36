// Package names makes a tree of safe names out of those that an archive's entries have, whatever bytes they are. It
// knows no format: the readers of archives say what they know of each name.
package names

import (
	"fmt"
	"maps"
)

// Kind is what an entry of an archive is.
type Kind uint8

// The kinds of entries.
const (
	File Kind = iota
	Dir
	Symlink
	Special // a device, a socket, a FIFO: dropped
)

// Entry is what the archive says of an entry's name.
type Entry struct {
	Name      string // the path as the archive has it, in an unknown charset
	Unicode   string // the path in UTF-8 if the archive has it a second time (Info-ZIP's extra field 0x7075), or empty
	UTF8      bool   // the archive says that Name is UTF-8
	Backslash bool   // separates folders too: the archive was made by a DOS or Windows program
	Kind      Kind   // a Name that ends in a separator is a Dir anyway
}

// Options of a Tree. What is 0 has its default.
type Options struct {
	Charset    string // IANA name of the charset of names that aren't UTF-8, such as "cp866"; empty: guess it
	MaxName    int    // length of a name in bytes, 255 unless told
	MaxPath    int    // length of a path in bytes, 1,024 unless told
	MaxDepth   int    // names in a path, 32 unless told
	MaxFolders int    // folders in the tree, 200,000 unless told; without it entries of long paths make many each
}

func (o Options) withDefaults() Options {
	for _, limit := range []struct {
		value    *int
		fallback int
	}{{&o.MaxName, 255}, {&o.MaxPath, 1024}, {&o.MaxDepth, 32}, {&o.MaxFolders, 200_000}} {
		if *limit.value <= 0 {
			*limit.value = limit.fallback
		}
	}
	return o
}

// Reason says why an entry has no place in the tree.
type Reason uint8

// The reasons.
const (
	Kept       Reason = iota
	Empty             // nothing is left of the name of what is no folder
	HasNUL            // no file system takes it
	HasParent         // ".." leads out of the folder
	LongName          // above Options.MaxName
	LongPath          // above Options.MaxPath
	Deep              // above Options.MaxDepth
	Crowded           // above Options.MaxFolders
	NoFile            // Special
	maxReasons = int(NoFile) + 1
)

// String returns the reason as the end of a sentence that starts with an entry.
func (r Reason) String() string {
	switch r {
	case Kept:
		return "is kept"
	case Empty:
		return "has an empty name"
	case HasNUL:
		return "has a NUL in its name"
	case HasParent:
		return "leads out of its folder by .."
	case LongName:
		return "has a name that is too long"
	case LongPath:
		return "has a path that is too long"
	case Deep:
		return "is too many folders deep"
	case Crowded:
		return "needs more folders than an archive may have"
	case NoFile:
		return "is a device, a socket or a FIFO"
	default:
		return fmt.Sprintf("has reason %d", uint8(r))
	}
}

// Build returns the tree of n entries, which at returns by their ordinals; it may be called several times for each. The
// tree depends on nothing but these and the options, so names are the same whenever it is built again:
//
//   - names are decoded as Decoder says, and only then taken apart;
//   - leading separators and drive letters go, as do empty names and "." in between;
//   - a path with "..", a NUL, or above a limit drops its entry;
//   - control characters, slashes that aren't separators and what turns the direction of writing (Unicode TR 9, explicit
//     directional formatting) become "_", bytes that can't be decoded U+FFFD;
//   - entries for one folder are one; its ordinal is the first one's;
//   - of files with one name all but the first in the archive become "name (1)", "name (2)"…, as do all if a folder has it.
//
// The error says that the charset is unknown.
func Build(n int, at func(i int) Entry, o Options) (*Tree, error) {
	o = o.withDefaults()
	d, err := NewDecoder(n, at, o.Charset)
	if err != nil {
		return nil, err
	}
	b := &builder{
		options: o, tree: &Tree{nodes: make([]Node, 1, n+1), places: make([]int32, n), decoder: d, maxPath: o.MaxPath},
		taken: make(map[place]int32, n),
	}
	b.tree.nodes[0] = Node{Entry: NoEntry, Kind: Dir}
	parents := make([]int32, n)
	for i := range n {
		parents[i] = b.folders(i, at(i))
	}
	for i := range n {
		if parents[i] >= 0 {
			b.file(i, at(i), parents[i])
		}
	}
	b.taken, b.next = nil, nil
	b.tree.sort()
	return b.tree, nil
}

// place is a name in a folder.
type place struct {
	parent int32
	name   string
}

type builder struct {
	options Options
	tree    *Tree
	taken   map[place]int32 // its node
	next    map[place]int   // what to number the next double with, by what is left of its name beside a number
	folder  int             // how many there are
	buffer  []string        // of the path that is being looked at
}

// clean takes an entry's path apart. It is valid until the next call.
func (b *builder) clean(e Entry) (path []string, isDir bool, reason Reason) {
	path, isDir, reason = split(b.buffer[:0], b.tree.decoder.Decode(e), e.Backslash, &b.options)
	b.buffer = path
	isDir = isDir || e.Kind == Dir
	switch {
	case e.Kind == Special:
		reason = NoFile
	case reason == Kept && len(path) == 0 && !isDir:
		reason = Empty
	}
	return path, isDir, reason
}

// folders makes the folders of an entry's path. It returns the one of a file, or -1 if there is nothing more to do.
func (b *builder) folders(i int, e Entry) int32 {
	path, isDir, reason := b.clean(e)
	if reason != Kept {
		return b.drop(i, reason)
	}
	depth := len(path)
	if !isDir {
		depth--
	}
	parent := int32(0)
	for _, name := range path[:depth] {
		at := place{parent, name}
		node, ok := b.taken[at]
		if !ok {
			if b.folder >= b.options.MaxFolders {
				return b.drop(i, Crowded)
			}
			b.folder++
			node = b.add(at, i, NoEntry, Dir)
		}
		parent = node
	}
	if !isDir {
		return parent
	}
	b.tree.places[i] = parent
	if folder := &b.tree.nodes[parent]; folder.Entry == NoEntry {
		folder.Entry = int32(i)
	}
	return -1
}

// file puts an entry that is no folder into parent. All folders are there already, and keep their names.
func (b *builder) file(i int, e Entry, parent int32) {
	path, _, _ := b.clean(e)
	at := place{parent, path[len(path)-1]}
	if _, ok := b.taken[at]; ok {
		at.name = b.unique(at)
	}
	b.tree.places[i] = b.add(at, i, int32(i), e.Kind)
}

// unique returns the first free one of "name (1)", "name (2)"…, the number before the extension.
func (b *builder) unique(at place) string {
	// Counted by what is left of the name beside a number: names that are alike but for what is cut off share
	// their numbers, so that none is tried twice.
	stem := place{at.parent, numbered(at.name, 0, b.options.MaxName)}
	if b.next == nil {
		b.next = make(map[place]int)
	}
	for {
		b.next[stem]++
		name := numbered(at.name, b.next[stem], b.options.MaxName)
		if _, ok := b.taken[place{at.parent, name}]; !ok {
			return name
		}
	}
}

func (b *builder) add(at place, first int, entry int32, kind Kind) int32 {
	node := int32(len(b.tree.nodes))
	b.tree.nodes = append(b.tree.nodes, Node{Name: at.name, Parent: at.parent, Entry: entry, First: int32(first), Kind: kind})
	b.taken[at] = node
	return node
}

func (b *builder) drop(i int, reason Reason) int32 {
	b.tree.places[i] = -int32(reason)
	b.tree.dropped[reason]++
	return -1
}

// Dropped returns how many entries have no place in the tree, by reason.
func (t *Tree) Dropped() map[Reason]int {
	dropped := make(map[Reason]int)
	for reason, n := range t.dropped {
		dropped[Reason(reason)] = n
	}
	maps.DeleteFunc(dropped, func(_ Reason, n int) bool { return n == 0 })
	return dropped
}
