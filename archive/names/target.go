package names

import (
	"errors"
	"fmt"
	"strings"
)

// ErrTarget says that a symbolic link may not be shown, as what it leads to is not inside the archive, or no path.
var ErrTarget = errors.New("bad target of a symbolic link")

// Target returns what a symbolic link leads to, in the tree's names, from the bytes that the archive has for it. Only a relative path that
// can't leave the archive is taken: ".." may stand at its start, once for each folder that the link is in. After a name it is not, as the
// name may be another link's, and then leads up from wherever that goes. Nothing has to be there.
func (t *Tree) Target(node int, raw []byte) (string, error) {
	if limit := 4 * t.maxPath; len(raw) > limit {
		return "", fmt.Errorf("%w: %d bytes, above %d", ErrTarget, len(raw), limit)
	}
	decoded := t.decoder.Decode(Entry{Name: string(raw)})
	if decoded == "" || decoded[0] == '/' || strings.IndexByte(decoded, 0) >= 0 {
		return "", fmt.Errorf("%w: %.80q is not relative", ErrTarget, decoded)
	}
	depth := 0
	for n := t.nodes[node].Parent; n != 0; n = t.nodes[n].Parent {
		depth++
	}
	var names []string
	down := false
	for name := range strings.SplitSeq(decoded, "/") {
		switch name {
		case "", ".":
		case "..":
			if depth--; down || depth < 0 {
				return "", fmt.Errorf("%w: %.80q may leave the archive", ErrTarget, decoded)
			}
			names = append(names, name)
		default:
			down = true
			names = append(names, cleanName(name))
		}
	}
	if len(names) == 0 {
		return ".", nil
	}
	target := strings.Join(names, "/")
	if limit := t.maxPath; len(target) > limit {
		return "", fmt.Errorf("%w: %d bytes, above %d", ErrTarget, len(target), limit)
	}
	return target, nil
}
