package lint

import (
	"go/token"
	"strings"
	"testing"
)

const sourceRoot = "../.."

// TestTree checks the whole source tree against every rule.
func TestTree(t *testing.T) {
	tree, err := Load(sourceRoot)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Packages) < 5 {
		t.Fatalf("only %d packages were found below %s", len(tree.Packages), sourceRoot)
	}
	for name, rule := range map[string]func(*Tree) []Finding{
		"imports": Imports, "narrow": Narrow, "assembly": Assembly, "calls": Calls, "state": State, "goroutines": Goroutines, "comments": Comments,
	} {
		t.Run(name, func(t *testing.T) {
			for _, f := range rule(tree) {
				t.Error(f)
			}
		})
	}
}

// TestRules holds that each rule finds a breach of it, and leaves what is
// allowed alone.
func TestRules(t *testing.T) {
	const comment = "// Package p is here so that the rule for comments is content with it.\n"
	for _, test := range []struct {
		name, file, source string
		rule               func(*Tree) []Finding
		// want are parts of the findings, in order.
		want []string
	}{
		{"upwards", "storage/a.go", `package p; import _ "github.com/vccdb/vccdb/engine"`, Imports, []string{"storage may not import engine"}},
		{"strangers", "vecindex/hnsw/a.go", `package p; import _ "github.com/vccdb/vccdb/storage"`, Imports, []string{"vecindex may not import storage"}},
		{"around the engine", "server/api/a.go", `package p; import "github.com/vccdb/vccdb/storage"; func a(storage.Properties) { storage.Open() }`, Narrow, []string{"reaches data through engine"}},
		{"the console's own", "console/a.go", `package p; import _ "github.com/vccdb/vccdb/vecindex"`, Imports, []string{"console may not import vecindex"}},
		{"in a test", "storage/a_test.go", `package p; import _ "github.com/vccdb/vccdb/engine"`, Imports, []string{"storage may not import engine"}},
		{"grocksdb", "storage/a.go", `package p; import _ "github.com/linxGnu/grocksdb"`, Imports, []string{"for storage/rocks only"}},
		{"rocks", "engine/a.go", `package p; import _ "github.com/vccdb/vccdb/storage/rocks"`, Imports, []string{"for storage only"}},
		{"cgo", "vecindex/a.go", `package p; import "C"`, Imports, []string{"for storage/rocks and gpu/worker only"}},
		{"config", "engine/a.go", `package p; import _ "github.com/vccdb/vccdb/server/config"`, Imports, []string{"for cmd and server and console only"}},
		{"the testkit", "engine/a.go", `package p; import _ "github.com/vccdb/vccdb/internal/testkit"`, Imports, []string{"for tests only"}},
		{"the console's testkit", "console/a.go", `package p; import _ "github.com/vccdb/vccdb/console/consoletest"`, Imports, []string{"for tests only"}},
		{"the testkit in a test", "engine/a_test.go", `package p; import _ "github.com/vccdb/vccdb/internal/testkit"`, Imports, nil},
		{"a new folder", "utils/a.go", `package p; import _ "github.com/vccdb/vccdb/internal/errs"`, Imports, []string{"no room of the house"}},
		{"downwards", "engine/query/a.go", `package p; import (_ "github.com/vccdb/vccdb/engine/schema"; _ "fmt"; _ "github.com/vccdb/vccdb/internal/errs")`, Imports, nil},
		{"grocksdb at home", "storage/rocks/a.go", `package p; import _ "github.com/linxGnu/grocksdb"`, Imports, nil},

		{"print", "engine/a.go", `package p; import f "fmt"; func a() { f.Println(f.Sprint(1)) }`, Calls, []string{"fmt.Println isn't for engine"}},
		{"environment", "storage/a.go", `package p; import "os"; var home = os.Getenv("HOME")`, Calls, []string{"os.Getenv isn't for storage"}},
		{"environment at home", "server/config/a.go", `package p; import "os"; var home = os.Getenv("HOME")`, Calls, nil},
		{"global logger", "engine/a.go", `package p; import "log/slog"; func a(l *slog.Logger) { slog.Info(""); l.Info("") }`, Calls, []string{"log/slog.Info isn't"}},

		{"a lock", "engine/a.go", `package p; import "sync"; var mu sync.Mutex`, State, []string{"variable mu is made to be changed"}},
		{"an empty map", "engine/a.go", `package p; var seen = map[string]bool{}; var more = make(map[string]bool)`, State, []string{"variable seen", "variable more"}},
		{"a counter", "engine/a.go", `package p; var n int; func a() { n++ }`, State, []string{"variable n is changed"}},
		{"an entry", "engine/a.go", `package p; var m = map[string]int{"a": 1}; func a() { delete(m, "a"); m["a"] = 2 }`, State, []string{"variable m is changed", "variable m is changed"}},
		{"a pointer", "engine/a.go", `package p; var n int; func a() *int { return &n }`, State, []string{"variable n is changed"}},
		{"a shadow", "engine/a.go", `package p; var n int; func a() { n := n; n++ }`, State, nil},
		{"a table", "engine/a.go", `package p; var t [9]int; func init() { for i := range t { t[i] = i } }`, State, nil},

		{"unwatched", "engine/a.go", `package p; func a() { go a() }`, Goroutines, []string{"add goleak"}},
		{"no comment", "engine/a.go", `package p`, Comments, []string{"package engine has no comment"}},
		{"a comment", "engine/a.go", comment + `package p`, Comments, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := &Tree{Fset: token.NewFileSet()}
			if err := tree.addSource(test.file, []byte(test.source), map[string]*Package{}); err != nil {
				t.Fatal(err)
			}
			found := test.rule(tree)
			if len(found) != len(test.want) {
				t.Fatalf("found %v, want %q", found, test.want)
			}
			for i, f := range found {
				if !strings.Contains(f.String(), test.want[i]) {
					t.Errorf("found %v, want %q", f, test.want[i])
				}
			}
		})
	}
}

func TestAssembly(t *testing.T) {
	tree := &Tree{Assembly: []string{"vecindex/simd/a_amd64.s", "vecindex/hnsw/b_amd64.s"}}
	if found := Assembly(tree); len(found) != 1 || found[0].Where != "vecindex/hnsw/b_amd64.s" {
		t.Errorf("found %v", found)
	}
}
