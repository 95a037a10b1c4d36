package names

import (
	"cmp"
	"slices"
	"strings"
)

// NoEntry is the ordinal of a folder that only paths of other entries tell of.
const NoEntry = -1

// Node is a file or a folder.
type Node struct {
	Name   string
	Parent int32 // its folder; that of the root is the root
	Entry  int32 // ordinal in the archive, or NoEntry
	First  int32 // ordinal of the first entry that it is on the path of; of the root 0
	Kind   Kind  // never Special
}

// Tree is where the entries of an archive are. It doesn't change, so any number of goroutines may use it. Nodes are
// numbered from 0, the root, and a folder comes before what is in it.
type Tree struct {
	nodes    []Node
	places   []int32 // by entry: its node, or the reason that it has none, negative
	children []int32 // all nodes but the root, by folder and name
	first    []int32 // by node: where its own start in children; one more at the end
	dropped  [maxReasons]int
	decoder  *Decoder
	maxPath  int // bytes
}

// sort makes children and first of nodes.
func (t *Tree) sort() {
	t.first = make([]int32, len(t.nodes)+1)
	t.children = make([]int32, len(t.nodes)-1)
	for i := range t.children {
		t.children[i] = int32(i + 1)
	}
	slices.SortFunc(t.children, func(a, b int32) int {
		x, y := &t.nodes[a], &t.nodes[b]
		if c := cmp.Compare(x.Parent, y.Parent); c != 0 {
			return c
		}
		return strings.Compare(x.Name, y.Name)
	})
	for _, child := range t.children {
		t.first[t.nodes[child].Parent+1]++
	}
	for i := range t.nodes {
		t.first[i+1] += t.first[i]
	}
}

// Len returns how many nodes there are, with the root.
func (t *Tree) Len() int { return len(t.nodes) }

// Node returns a node by its number, which has to be in [0, Len).
func (t *Tree) Node(node int) Node { return t.nodes[node] }

// Place returns the node of an entry by its ordinal, or why it has none.
func (t *Tree) Place(entry int) (node int, reason Reason) {
	if p := t.places[entry]; p < 0 {
		return 0, Reason(-p)
	}
	return int(t.places[entry]), Kept
}

// Children returns the nodes in a folder by name, in the order of bytes. It is the tree's own: don't change it.
func (t *Tree) Children(folder int) []int32 {
	return t.children[t.first[folder]:t.first[folder+1]]
}

// Lookup returns the node of a name in a folder.
func (t *Tree) Lookup(folder int, name string) (node int, ok bool) {
	children := t.Children(folder)
	i, ok := slices.BinarySearchFunc(children, name, func(child int32, name string) int {
		return strings.Compare(t.nodes[child].Name, name)
	})
	if !ok {
		return 0, false
	}
	return int(children[i]), true
}

// Path returns the names from the root to a node, with slashes between. That of the root is empty.
func (t *Tree) Path(node int) string {
	var names []string
	for ; node != 0; node = int(t.nodes[node].Parent) {
		names = append(names, t.nodes[node].Name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// Charset returns what names that aren't UTF-8 were decoded by, and whether that was a guess.
func (t *Tree) Charset() (name string, guessed bool) { return t.decoder.name, t.decoder.guessed }
