package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// room is a part of the tree and what it may import of the module. Imports
// point down only; the most specific room that holds a package decides.
type room struct {
	dir string
	may []string
}

var rooms = []room{
	{dir: "internal", may: []string{"internal"}},
	{dir: "internal/testkit", may: []string{"engine", "storage", "vecindex", "server", "internal"}},
	{dir: "gpu", may: []string{"gpu", "internal"}},

	{dir: "vecindex/simd", may: []string{"internal"}},
	{dir: "vecindex", may: []string{"vecindex", "gpu", "internal"}},

	{dir: "storage/keys", may: []string{"internal"}},
	{dir: "storage/rocks", may: []string{"internal"}},
	{dir: "storage", may: []string{"storage", "internal"}},

	{dir: "engine/schema", may: []string{"storage/keys", "vecindex", "internal"}},
	{dir: "engine/query", may: []string{"engine/schema", "storage/keys", "internal"}},
	{dir: "engine/jobs", may: []string{"internal"}},
	{dir: "engine", may: []string{"engine", "storage", "vecindex", "gpu/gputest", "internal"}},

	{dir: "web"},
	{dir: "console/format", may: []string{"internal"}},
	{dir: "console", may: []string{"console", "web", "engine", "storage", "gpu", "server", "internal"}},
	{dir: "server/auth", may: []string{"internal"}},
	{dir: "server/config", may: []string{"server/auth", "internal"}},
	{dir: "server/ops", may: []string{"server", "engine", "storage", "gpu", "internal"}},
	{dir: "server", may: []string{"server", "engine", "storage", "internal"}},

	{dir: "docs", may: []string{"storage/storagetest"}},
	{dir: "cmd/themis_bench", may: []string{"vecindex", "internal"}},
	{dir: "cmd", may: []string{"console", "web", "server", "engine", "storage", "vecindex", "gpu", "internal"}},
}

// private packages have a single importer, whatever the rooms allow.
var private = []struct {
	pkg  string
	only []string
	why  string
}{
	{"github.com/linxGnu/grocksdb", []string{"storage/rocks"}, "C memory ends in storage/rocks"},
	{"github.com/NVIDIA/go-nvml", []string{"gpu"}, "devices are asked about through a gpu.Probe, which bounds the wait"},
	{"gorgonia.org/cu", []string{"gpu/worker"}, "a device fault may only kill the worker process"},
	{"C", []string{"storage/rocks", "gpu/worker"}, "C memory ends in storage/rocks, a device fault in the worker process"},
	{Module + "/storage/rocks", []string{"storage"}, "RocksDB is reached through storage"},
	{Module + "/vecindex/simd", []string{"vecindex"}, "kernels are reached through an index"},
	{Module + "/server/config", []string{"cmd", "server", "console"}, "settings are handed down as options"},
}

// narrow imports are allowed for a few names only, and in tests.
var narrow = []struct {
	dir, pkg string
	names    []string
	why      string
}{
	{"server", Module + "/storage", []string{"Options", "Durability*", "Properties"}, "the server reaches data through engine"},
	{"console", Module + "/storage", []string{"Properties"}, "the console reaches data through engine"},
}

// Narrow checks what is used of narrow imports.
func Narrow(t *Tree) []Finding {
	var found []Finding
	for _, p := range t.Packages {
		for _, rule := range narrow {
			if !p.in(rule.dir) {
				continue
			}
			for _, file := range p.Files {
				found = append(found, selected(t, file, rule.pkg, func(name string) string {
					if matchesAny(name, rule.names) {
						return ""
					}
					return "of " + rule.pkg + " only " + strings.Join(rule.names, ", ") + " may be used here: " + rule.why
				})...)
			}
		}
	}
	return found
}

// selected lists what judge has to say about the names that file uses of pkg.
func selected(t *Tree, file *ast.File, pkg string, judge func(name string) string) []Finding {
	var found []Finding
	as := importedAs(file, pkg)
	if as == "" {
		return nil
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && isIdent(s.X, as) {
			if why := judge(s.Sel.Name); why != "" {
				found = append(found, t.at(s.Pos(), "%s", why))
			}
		}
		return true
	})
	return found
}

// testkits are for tests alone.
var testkits = []string{Module + "/internal/testkit", Module + "/console/consoletest", Module + "/gpu/gputest"}

// Imports checks every import against rooms, private and testkits.
func Imports(t *Tree) []Finding {
	var found []Finding
	for _, p := range t.Packages {
		for _, file := range p.Files {
			for _, spec := range file.Imports {
				if pkg := importPath(spec); slices.Contains(testkits, pkg) {
					found = append(found, t.at(spec.Pos(), "%s is for tests only", pkg))
				}
			}
		}
		for _, file := range slices.Concat(p.Files, p.Tests) {
			for _, spec := range file.Imports {
				if why := forbidden(p.Dir, importPath(spec)); why != "" {
					found = append(found, t.at(spec.Pos(), "%s", why))
				}
			}
		}
	}
	return found
}

// forbidden says why the package in dir may not import pkg; empty if it may.
func forbidden(dir, pkg string) string {
	for _, rule := range private {
		owns := func(room string) bool { return within(dir, room) }
		if within(pkg, rule.pkg) && !within(Module+"/"+dir, rule.pkg) && !slices.ContainsFunc(rule.only, owns) {
			return pkg + " is for " + strings.Join(rule.only, " and ") + " only: " + rule.why
		}
	}
	target, ours := strings.CutPrefix(pkg, Module+"/")
	if !ours {
		return ""
	}
	own := -1
	for i, r := range rooms {
		if within(dir, r.dir) && (own < 0 || len(r.dir) > len(rooms[own].dir)) {
			own = i
		}
	}
	if own < 0 {
		return "the folder " + dir + " is no room of the house; give it one in internal/lint, or put the code where it belongs"
	}
	allowed := func(room string) bool { return within(target, room) }
	if within(target, rooms[own].dir) || slices.ContainsFunc(rooms[own].may, allowed) {
		return ""
	}
	return rooms[own].dir + " may not import " + target + "; imports point down only"
}

// Assembly checks that assembly files stand in vecindex/simd alone.
func Assembly(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Assembly {
		if !within(file, "vecindex/simd") {
			found = append(found, Finding{file, "assembly stands in vecindex/simd alone"})
		}
	}
	return found
}

// banned are calls with their replacement. They are allowed in the rooms given,
// and in tests.
var banned = []struct {
	pkg     string
	names   []string
	allowed []string
	instead string
}{
	{"fmt", []string{"Print*"}, []string{"cmd"}, "a library logs with the slog.Logger it was given, or returns what it has to say"},
	{"log", []string{"*"}, []string{"cmd"}, "log with the slog.Logger that the options carry"},
	{"log/slog", []string{"Debug*", "Info*", "Warn*", "Error*", "Default", "SetDefault"}, []string{"cmd"}, "log with the slog.Logger that the options carry"},
	{"os", []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}, []string{"cmd", "server/config"}, "settings come through server/config and are handed down as options"},
	{"os", []string{"Exit"}, []string{"cmd"}, "return an error"},
	{"flag", []string{"*"}, []string{"cmd"}, "settings are handed down as options"},
	{"time", []string{"Tick"}, nil, "use time.NewTicker and stop it"},
	{"context", []string{"TODO"}, nil, "take the caller's context"},
}

// Calls checks for banned calls.
func Calls(t *Tree) []Finding {
	var found []Finding
	for _, p := range t.Packages {
		for _, file := range p.Files {
			for _, ban := range banned {
				if p.in(ban.allowed...) {
					continue
				}
				found = append(found, selected(t, file, ban.pkg, func(name string) string {
					if !matchesAny(name, ban.names) {
						return ""
					}
					return ban.pkg + "." + name + " isn't for " + p.Dir + ": " + ban.instead
				})...)
			}
		}
	}
	return found
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// matchesAny matches a name with patterns, of which a trailing * stands for any
// ending.
func matchesAny(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return name == pattern || open && strings.HasPrefix(name, prefix)
	})
}

// State checks that package variables are constants in all but name: only an
// init function may change them, nothing takes a variable's address, and none is
// made to be changed (a lock, an atomic, a pool, an empty map or channel).
func State(t *Tree) []Finding {
	var found []Finding
	for _, p := range t.Packages {
		if p.in("cmd") {
			continue
		}
		vars := packageVars(t, p)
		for _, file := range p.Files {
			found = append(found, stateDeclared(t, file)...)
			for _, decl := range file.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && (fn.Recv != nil || fn.Name.Name != "init") {
					found = append(found, stateChanged(t, fn, vars)...)
				}
			}
		}
	}
	return found
}

// packageVars maps each use of a package variable to it. Imports stay unknown:
// they aren't needed to tell a package variable from a local one.
func packageVars(t *Tree, p *Package) map[*ast.Ident]bool {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Error: func(error) {}, Importer: nothing{}}
	pkg, _ := config.Check(Module+"/"+p.Dir, t.Fset, p.Files, info) // its errors are about the imports
	vars := map[*ast.Ident]bool{}
	for id, object := range info.Uses {
		if v, ok := object.(*types.Var); ok && v.Parent() == pkg.Scope() {
			vars[id] = true
		}
	}
	return vars
}

// nothing is an importer without packages.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	return nil, &types.Error{Msg: "not imported: " + path}
}

func stateDeclared(t *Tree, file *ast.File) []Finding {
	var found []Finding
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, name := range spec.Names {
				if name.Name != "_" && (mutableType(spec.Type) || i < len(spec.Values) && mutableValue(spec.Values[i])) {
					found = append(found, t.at(name.Pos(), "the package variable %s is made to be changed; state belongs in a value that its user owns", name.Name))
				}
			}
		}
	}
	return found
}

// mutableType says whether values of a type only make sense when they change.
func mutableType(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return isIdent(e.X, "sync") || isIdent(e.X, "atomic")
	case *ast.IndexExpr:
		return mutableType(e.X)
	case *ast.ArrayType:
		return mutableType(e.Elt)
	case *ast.ChanType:
		return true
	}
	return false
}

func mutableValue(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CallExpr:
		return isIdent(e.Fun, "make") || isIdent(e.Fun, "new")
	case *ast.CompositeLit:
		_, isMap := e.Type.(*ast.MapType)
		return mutableType(e.Type) || isMap && len(e.Elts) == 0
	case *ast.UnaryExpr:
		return e.Op == token.AND && mutableValue(e.X)
	}
	return false
}

func stateChanged(t *Tree, fn *ast.FuncDecl, vars map[*ast.Ident]bool) []Finding {
	var found []Finding
	changed := func(e ast.Expr) {
		if id := root(e); id != nil && vars[id] {
			found = append(found, t.at(e.Pos(), "the package variable %s is changed here; state belongs in a value that its user owns", id.Name))
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				changed(left)
			}
		case *ast.IncDecStmt:
			changed(n.X)
		case *ast.UnaryExpr:
			if _, whole := n.X.(*ast.Ident); whole && n.Op == token.AND { // a pointer into a table saves a copy
				changed(n.X)
			}
		case *ast.CallExpr:
			if len(n.Args) > 0 && (isIdent(n.Fun, "delete") || isIdent(n.Fun, "clear")) {
				changed(n.Args[0])
			}
		}
		return true
	})
	return found
}

// root is the variable that an addressable expression is part of.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// Goroutines checks that each library that starts goroutines has a test main
// that notices a leaked one.
func Goroutines(t *Tree) []Finding {
	var found []Finding
	for _, p := range t.Packages {
		if p.in("cmd") {
			continue
		}
		start := firstGo(p.Files)
		watched := slices.ContainsFunc(p.Tests, func(f *ast.File) bool { return importedAs(f, "go.uber.org/goleak") != "" })
		if start != token.NoPos && !watched {
			found = append(found, t.at(start, "a goroutine starts here, but no test of %s looks for leaked ones; add goleak.VerifyTestMain", p.Dir))
		}
	}
	return found
}

func firstGo(files []*ast.File) token.Pos {
	first := token.NoPos
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok && first == token.NoPos {
				first = g.Pos()
			}
			return first == token.NoPos
		})
	}
	return first
}

// Comments checks that each package says what it is.
func Comments(t *Tree) []Finding {
	var found []Finding
	for _, p := range t.Packages {
		described := func(f *ast.File) bool { return f.Doc != nil && len(f.Doc.Text()) > 40 }
		if len(p.Files) > 0 && !slices.ContainsFunc(p.Files, described) {
			found = append(found, t.at(p.Files[0].Package, "the package %s has no comment; it says what the package owns and promises", p.Dir))
		}
	}
	return found
}
