package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// FS returns the tree as an fs.FS. Files implement io.ReaderAt and io.Seeker; reads wait until ctx
// ends.
func (t *Tree) FS(ctx context.Context) fs.FS { return treeFS{t, ctx} }

var _ fs.ReadLinkFS = treeFS{}

type treeFS struct {
	tree *Tree
	ctx  context.Context //nolint:containedctx // io/fs has no place for one
}

func (f treeFS) node(op, name string) (Node, error) {
	if !fs.ValidPath(name) {
		return Node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	var names []string
	if name != "." {
		names = strings.Split(name, "/")
	}
	n, err := f.tree.Walk(f.ctx, names...)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotDir) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Node{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return n, nil
}

// Lstat is Stat, and does not follow a link.
func (f treeFS) Lstat(name string) (fs.FileInfo, error) {
	n, err := f.node("lstat", name)
	if err != nil {
		return nil, err
	}
	return n.Info(), nil
}

// ReadLink returns what a symbolic link says.
func (f treeFS) ReadLink(name string) (string, error) {
	n, err := f.node("readlink", name)
	if err != nil {
		return "", err
	}
	to, err := n.Link()
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: errors.Join(fs.ErrInvalid, err)}
	}
	return to, nil
}

// maxLinks is how many links Open follows, one after another.
const maxLinks = 8

// follow returns what a name leads to that may be of links.
func (f treeFS) follow(name string) (Node, error) {
	at := name
	for range maxLinks {
		n, err := f.node("open", at)
		if err != nil {
			return Node{}, err
		}
		to, err := n.Link()
		if err != nil {
			return n, nil
		}
		at = path.Join(path.Dir(at), to)
	}
	return Node{}, &fs.PathError{Op: "open", Path: name, Err: errors.New("too many links")}
}

func (f treeFS) Open(name string) (fs.File, error) {
	n, err := f.follow(name)
	if err != nil {
		return nil, err
	}
	if n.IsDir() {
		if err := n.Load(f.ctx); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		dir, err := n.Dir()
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return &openDir{node: n, rest: dir.Entries()}, nil
	}
	content, err := n.Content()
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	at := contentReader{ctx: f.ctx, content: content}
	return openFile{node: n, SectionReader: io.NewSectionReader(at, 0, n.Attr().Size)}, nil
}

// contentReader is Content as an io.ReaderAt.
type contentReader struct {
	ctx     context.Context //nolint:containedctx // io.ReaderAt has no place for one
	content Content
}

func (r contentReader) ReadAt(p []byte, off int64) (int, error) {
	return r.content.ReadAt(r.ctx, p, off)
}

type openFile struct {
	*io.SectionReader
	node Node
}

func (f openFile) Stat() (fs.FileInfo, error) { return f.node.Info(), nil }
func (f openFile) Close() error               { return nil }

type openDir struct {
	node Node
	rest []Entry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.node.Info(), nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.node.Name(), Err: ErrIsDir}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	take := len(d.rest)
	if n > 0 {
		if take == 0 {
			return nil, io.EOF
		}
		take = min(take, n)
	}
	list := make([]fs.DirEntry, take)
	for i, e := range d.rest[:take] {
		list[i] = fs.FileInfoToDirEntry(e.Info())
	}
	d.rest = d.rest[take:]
	return list, nil
}

// Info returns the node as an fs.FileInfo whose Sys is its Attr.
func (n Node) Info() fs.FileInfo {
	name := n.Name()
	if name == "" {
		name = "." // io/fs calls the root so
	}
	return info{name, n.Attr()}
}

// Info returns the entry as an fs.FileInfo whose Sys is its Attr.
func (e Entry) Info() fs.FileInfo { return info{e.Name, e.Node.Attr()} }

type info struct {
	name string
	attr Attr
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.attr.Size }
func (i info) Mode() fs.FileMode  { return i.attr.Mode }
func (i info) ModTime() time.Time { return i.attr.ModTime }
func (i info) IsDir() bool        { return i.attr.Mode.IsDir() }
func (i info) Sys() any           { return i.attr }
