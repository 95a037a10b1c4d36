// Command typecheck tells whether the appliance compiles for other systems, without compiling it: for each GOOS/GOARCH that it is
// given, it reads the packages of the program, its dependencies and the standard library from source, and type-checks them with that
// system's files and sizes. Of what is not ours it takes the declarations only, as a mistake there is nobody's here.
//
//	go run ./test/typecheck linux/386 windows/amd64
//
// That finds a call that a system lacks, and a constant that does not fit a small int, in seconds; `make cross`, which links programs,
// takes minutes. It exits with 1 when something does not check, and with 2 when it could not look.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	mistakes, err := run(ctx, "shoal/cmd/appliance", os.Args[1:])
	for _, m := range mistakes {
		fmt.Fprintln(os.Stderr, m)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "typecheck:", err)
		os.Exit(2)
	case len(mistakes) > 0:
		os.Exit(1)
	}
}

// run returns the mistakes in a program, a line each, with the target in front. err is about what kept it from looking.
func run(ctx context.Context, program string, targets []string) (mistakes []string, err error) {
	if len(targets) == 0 {
		return nil, errors.New("which systems? Name them as GOOS/GOARCH")
	}
	root, err := filepath.Abs(".")
	if err != nil {
		return nil, err
	}
	files := &files{set: token.NewFileSet(), parsed: make(map[string]*ast.File)}
	for _, target := range targets {
		system, architecture, ok := strings.Cut(target, "/")
		sizes := types.SizesFor("gc", architecture)
		if !ok || sizes == nil {
			return nil, fmt.Errorf("%q is not a GOOS/GOARCH that Go knows", target)
		}
		packages, err := list(ctx, program, system, architecture)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", target, err)
		}
		check := check{root: root, files: files, sizes: sizes, checked: map[string]*types.Package{"unsafe": types.Unsafe}}
		for _, p := range packages { // go list has whatever a package imports before it
			if err := check.add(p); err != nil {
				return nil, fmt.Errorf("%s: %w", target, err)
			}
		}
		for _, m := range check.mistakes {
			mistakes = append(mistakes, target+": "+m)
		}
	}
	return mistakes, nil
}

// listed is what go list tells of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	ImportMap  map[string]string // from what is written to what is meant, where these differ
	Module     *struct{ GoVersion string }
	Error      *struct{ Err string }
}

// list returns a program's packages on a system.
func list(ctx context.Context, program, system, architecture string) ([]listed, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Module,Error", program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+architecture)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Error != nil {
			return nil, errors.New(p.Error.Err)
		}
		packages = append(packages, p)
	}
}

// files are those read so far. Most are the same on all systems.
type files struct {
	set    *token.FileSet
	parsed map[string]*ast.File
}

// parse returns a file without its functions' bodies, if nobody looks at these.
func (f *files) parse(path string, bodies bool) (*ast.File, error) {
	if file := f.parsed[path]; file != nil {
		return file, nil
	}
	file, err := parser.ParseFile(f.set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range file.Decls {
		if function, ok := d.(*ast.FuncDecl); ok && function.Body != nil && !bodies {
			function.Body.List = nil
		}
	}
	f.parsed[path] = file
	return file, nil
}

// check is the state of checking one target.
type check struct {
	root     string // what is below is ours
	files    *files
	sizes    types.Sizes
	checked  map[string]*types.Package
	mistakes []string
}

// add checks a package. Mistakes of ours are kept; err is about a package that cannot be read, or is another's and wrong.
func (c *check) add(p listed) error {
	if p.ImportPath == "unsafe" {
		return nil
	}
	ours := strings.HasPrefix(p.Dir+string(filepath.Separator), c.root+string(filepath.Separator))
	parsed := make([]*ast.File, len(p.GoFiles))
	for i, name := range p.GoFiles {
		var err error
		if parsed[i], err = c.files.parse(filepath.Join(p.Dir, name), ours); err != nil {
			return err
		}
	}
	var found []string
	config := types.Config{
		Importer: imports{c.checked, p.ImportMap}, Sizes: c.sizes, IgnoreFuncBodies: !ours, FakeImportC: true,
		Error: func(err error) { found = append(found, err.Error()) },
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	checked, err := config.Check(p.ImportPath, c.files.set, parsed, nil)
	c.checked[p.ImportPath] = checked
	if err != nil && !ours {
		return fmt.Errorf("the package of others %s: %s", p.ImportPath, strings.Join(found, "\n"))
	}
	c.mistakes = append(c.mistakes, found...)
	return nil
}

// imports are what a package may import: what has been checked before it.
type imports struct {
	checked map[string]*types.Package
	meant   map[string]string
}

func (i imports) Import(path string) (*types.Package, error) {
	if meant, ok := i.meant[path]; ok {
		path = meant
	}
	if p := i.checked[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("go list does not have %s", path)
}
