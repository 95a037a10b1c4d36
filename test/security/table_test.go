// Package security checks what docs/security.md promises of the whole module: that the tests that it names are there, and what can be seen in
// the sources alone.
package security

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// sources calls look with each Go file of the module, as it was parsed, and the path of its package below the module.
func sources(t *testing.T, mode parser.Mode, look func(pkg, name string, file *ast.File)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, mode)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files++
		look(filepath.ToSlash(filepath.Dir(rel)), d.Name(), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 300 {
		t.Fatalf("%d files were looked at only", files)
	}
}

var (
	rowPattern  = regexp.MustCompile(`^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$`)
	testPattern = regexp.MustCompile(`\bTest[A-Z]\w+`)
	named       = regexp.MustCompile(`^Test(CVE|Advisory)_`)
	where       = regexp.MustCompile("`([a-z0-9/]+)`: ")
)

// TestTable: the table has all rows, each with tests that are there or a reason, and all tests that have such names.
func TestTable(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool) // by package and name
	sources(t, parser.SkipObjectResolution, func(pkg, name string, file *ast.File) {
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				there[pkg+" "+f.Name.Name] = true
			}
		}
	})
	promised := make(map[string]bool)
	rows := 0
	for line := range strings.Lines(string(b)) {
		checkTests(t, line, there, promised)
		row := rowPattern.FindStringSubmatch(strings.TrimSpace(line))
		if row == nil {
			continue
		}
		rows++
		if row[1] != strconv.Itoa(rows) {
			t.Errorf("row %s comes after row %d", row[1], rows-1)
		}
		checkRow(t, row)
	}
	if rows != 48 {
		t.Errorf("the table has %d rows, want 48", rows)
	}
	for test := range there {
		if _, name, _ := strings.Cut(test, " "); named.MatchString(name) && !promised[test] {
			t.Errorf("docs/security.md does not name %s", test)
		}
	}
}

// checkTests checks that the tests that a line names are in the packages that it says, and notes them.
func checkTests(t *testing.T, line string, there, found map[string]bool) {
	t.Helper()
	places := where.FindAllStringSubmatchIndex(line, -1)
	for i, at := range places {
		end := len(line)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		for _, name := range testPattern.FindAllString(line[at[1]:end], -1) {
			test := line[at[2]:at[3]] + " " + name
			found[test] = true
			if !there[test] {
				t.Errorf("docs/security.md names the test %s, which is not there", test)
			}
		}
	}
}

// checkRow checks that the tests of a row are named after it.
func checkRow(t *testing.T, row []string) {
	t.Helper()
	tests := testPattern.FindAllString(row[5], -1)
	if len(tests) == 0 {
		if len(row[5]) < 20 {
			t.Errorf("row %s has neither tests nor a reason", row[1])
		}
		return
	}
	var ids []string // as names of tests have them
	for id := range strings.SplitSeq(row[2], ", ") {
		id = strings.NewReplacer("-", "_", " #", "_", " ", "_", ".", "_").Replace(id)
		id, _, _ = strings.Cut(id, "_0_2_46") // of nzbdav
		ids = append(ids, id)
	}
	if !slices.ContainsFunc(tests, func(test string) bool {
		return slices.ContainsFunc(ids, func(id string) bool { return strings.Contains("_"+strings.TrimPrefix(test, "Test")+"_", "_"+id+"_") })
	}) && !strings.Contains(row[4], "It is not used.") {
		t.Errorf("row %s has the tests %q, and none is named after %q", row[1], tests, ids)
	}
}

// TestCVE_2019_13640_NoPrograms: qBittorrent ran a program with names of torrents in its command line. The appliance runs none, so that there is
// no command line: nothing of it imports os/exec, or calls what is below that.
func TestCVE_2019_13640_NoPrograms(t *testing.T) {
	calls := []string{"StartProcess", "ForkExec", "Exec", "CommandContext"}
	sources(t, parser.SkipObjectResolution, func(pkg, name string, file *ast.File) {
		// What makes releases is no part of the appliance.
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(pkg, "test/") || strings.HasPrefix(pkg, "packaging/") {
			return
		}
		for _, i := range file.Imports {
			if path := strings.Trim(i.Path.Value, `"`); path == "os/exec" || path == "plugin" {
				t.Errorf("%s/%s imports %s", pkg, name, path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(calls, s.Sel.Name) {
				if x, ok := s.X.(*ast.Ident); ok && (x.Name == "os" || x.Name == "syscall" || x.Name == "unix" || x.Name == "exec") {
					t.Errorf("%s/%s calls %s.%s", pkg, name, x.Name, s.Sel.Name)
				}
			}
			return true
		})
	})
}

// TestCVE_2024_51774_NobodySkips: qBittorrent took any certificate for 14 years.
func TestCVE_2024_51774_NobodySkips(t *testing.T) {
	sources(t, parser.SkipObjectResolution, func(pkg, name string, file *ast.File) {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(pkg, "test/") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == "InsecureSkipVerify" {
				t.Errorf("%s/%s has InsecureSkipVerify", pkg, name)
			}
			return true
		})
	})
}

// TestCVE_2025_11579_CVE_2025_58058_Versions: rardecode is mended since 2.2.0, and xz since 0.5.15.
func TestCVE_2025_11579_CVE_2025_58058_Versions(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for library, least := range map[string][3]int{"github.com/nwaples/rardecode/v2": {2, 2, 0}, "github.com/ulikunitz/xz": {0, 5, 15}} {
		found := regexp.MustCompile(regexp.QuoteMeta(library) + ` v(\d+)\.(\d+)\.(\d+)`).FindStringSubmatch(string(b))
		if found == nil {
			t.Errorf("go.mod has no %s: is it still used?", library)
			continue
		}
		var version [3]int
		for i := range version {
			if version[i], err = strconv.Atoi(found[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if slices.Compare(version[:], least[:]) < 0 {
			t.Errorf("%s is %v, want %v or newer", library, version, least)
		}
	}
}
