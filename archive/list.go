package archive

import (
	"cmp"
	"slices"

	"shoal/archive/names"
)

// listTree makes the list of members of a tree. fill fills in what the archive says of an entry, and says whether it can be shown.
//
// What an entry brings, its folders and itself, comes behind what those before it bring: so a list of the first entries only is the
// beginning of the list of all, as clients know members by their places.
func (a *Archive) listTree(tree *names.Tree, fill func(m *Member, node, entry int) bool) []Member {
	order := make([]int32, tree.Len()-1)
	for i := range order {
		order[i] = int32(i + 1)
	}
	slices.SortFunc(order, func(x, y int32) int {
		return cmp.Or(cmp.Compare(tree.Node(int(x)).First, tree.Node(int(y)).First), cmp.Compare(x, y))
	})
	list := make([]Member, len(order))
	places := make([]int32, tree.Len()) // of nodes in the list
	places[0] = -1
	nested := 0
	for place, node := range order {
		n := tree.Node(int(node))
		m := &list[place]
		*m = Member{Parent: int(places[n.Parent]), Name: n.Name, Dir: n.Kind == names.Dir}
		if n.Entry != names.NoEntry {
			m.Hidden = !fill(m, int(node), int(n.Entry))
		}
		if m.File != nil && !m.Hidden && nested < a.store.opts.Limits.Nested {
			if m.Archive = a.nest(int(n.Entry), m.Name, m.File); m.Archive != nil {
				nested++
			}
		}
		places[node] = int32(place)
	}
	return list
}
