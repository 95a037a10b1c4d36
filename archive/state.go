package archive

import (
	"os"
	"path"
)

// State is what is known of an archive.
type State uint8

// The states.
const (
	StateUnread  State = iota // nobody has looked inside
	StateWaiting              // it is not shown as a folder before all of it is there
	StateListed               // what is inside is known
	StateRefused              // it stays a file
)

// Status is the state of an archive.
type Status struct {
	State   State
	Reason  error // of StateRefused
	Members int   // files, folders and links inside; -1 where the list is not known, or only on the disk
}

// Status says what is known of the archive, at once. It looks at small files on the disk at most.
func (a *Archive) Status() Status {
	if err := a.Refused(); err != nil {
		return Status{State: StateRefused, Reason: err, Members: -1}
	}
	if list, known := a.list.get(); known {
		shown := 0
		for i := range list {
			if !list[i].Hidden {
				shown++
			}
		}
		return Status{State: StateListed, Members: shown}
	}
	if a.store.hasIndex(a.key + listSuffix) {
		return Status{State: StateListed, Members: -1}
	}
	if !a.Shown() {
		return Status{State: StateWaiting, Members: -1}
	}
	return Status{State: StateUnread, Members: -1}
}

// Size returns how long the file is, in bytes.
func (a *Archive) Size() int64 { return a.file.Size() }

// Known returns what Members does, if that was asked for since the start and is known.
func (a *Archive) Known() (list []Member, ok bool) { return a.list.get() }

// Nested returns the places in Known of those members that are archives which somebody has looked into, ever. It reads a folder of
// the disk.
func (a *Archive) Nested() []int {
	list, _ := a.Known()
	if len(list) == 0 {
		return nil
	}
	entries, err := os.ReadDir(a.store.indexes.path(a.key))
	if err != nil {
		return nil // nobody has looked into one
	}
	looked := make(map[string]bool)
	for _, e := range entries {
		if e.IsDir() {
			looked[e.Name()] = true
		}
	}
	var places []int
	for i := range list {
		if inner := list[i].Archive; inner != nil && looked[path.Base(inner.key)] {
			places = append(places, i)
		}
	}
	return places
}
