// Package lint holds the house rules that a compiler can't: which package may
// import which, where C, assembly and the environment may be touched, and that
// nothing keeps state in package variables. Its tests check the whole source
// tree; the rules are in rules.go, one table or function each.
//
// It works on syntax alone, so that every file counts, whatever its build
// constraints. It has no goroutines and no state.
package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the module path of the source tree.
const Module = "github.com/vccdb/vccdb"

// Tree is a parsed source tree.
type Tree struct {
	Fset     *token.FileSet
	Packages []*Package
	// Assembly are the paths of the assembly files.
	Assembly []string
}

// Package is one folder with Go files.
type Package struct {
	// Dir is relative to the root, with slashes; "." for the root.
	Dir string
	// Files are all but the tests, Tests the _test.go files.
	Files, Tests []*ast.File
}

// Finding is one breach of a rule.
type Finding struct {
	// Where is a file, or a file and a line.
	Where string
	// What says what is wrong and what to do instead.
	What string
}

func (f Finding) String() string { return f.Where + ": " + f.What }

// Load parses the source tree at root. Folders with a go.mod of their own
// belong to other modules; they, testdata, and folders that begin with a dot or
// an underscore are left out.
func Load(root string) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet()}
	byDir := map[string]*Package{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel != "." && outside(name, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		return t.add(name, filepath.ToSlash(rel), byDir)
	})
	slices.SortFunc(t.Packages, func(a, b *Package) int { return strings.Compare(a.Dir, b.Dir) })
	return t, err
}

// outside says whether a folder isn't part of the module's Go code.
func outside(name, base string) bool {
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}

func (t *Tree) add(name, rel string, byDir map[string]*Package) error {
	switch path.Ext(rel) {
	case ".s":
		t.Assembly = append(t.Assembly, rel)
		return nil
	case ".go":
	default:
		return nil
	}
	source, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return t.addSource(rel, source, byDir)
}

func (t *Tree) addSource(rel string, source []byte, byDir map[string]*Package) error {
	file, err := parser.ParseFile(t.Fset, rel, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	p := byDir[dir]
	if p == nil {
		p = &Package{Dir: dir}
		byDir[dir] = p
		t.Packages = append(t.Packages, p)
	}
	if strings.HasSuffix(rel, "_test.go") {
		p.Tests = append(p.Tests, file)
	} else {
		p.Files = append(p.Files, file)
	}
	return nil
}

// in says whether the package is room or lies below it.
func (p *Package) in(rooms ...string) bool {
	return slices.ContainsFunc(rooms, func(room string) bool { return within(p.Dir, room) })
}

func within(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }

func (t *Tree) at(pos token.Pos, format string, args ...any) Finding {
	p := t.Fset.Position(pos)
	return Finding{fmt.Sprintf("%s:%d", p.Filename, p.Line), fmt.Sprintf(format, args...)}
}

// importPath is what an import spec imports.
func importPath(spec *ast.ImportSpec) string {
	s, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return s
}

// importedAs is the name under which file knows the package at importPath,
// empty if it doesn't import it.
func importedAs(file *ast.File, pkg string) string {
	for _, spec := range file.Imports {
		if importPath(spec) != pkg {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(pkg)
	}
	return ""
}
