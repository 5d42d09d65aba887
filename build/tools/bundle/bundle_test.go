package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sources writes files into a folder, which is what bundle is given.
func sources(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		change(t, root, name, content)
	}
	return root
}

func change(t *testing.T, root, name, content string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func console() map[string]string {
	return map[string]string{
		"js/main.js":                             `import { used } from "lib"; used(); addEventListener("click", () => import("./late.js"));`,
		"js/late.js":                             `import "@scope/late"; export const late = "it came late";`,
		"css/zebra.css":                          `.zebra { color: var(--ink) }`,
		"css/tokens.css":                         `:root { --ink: black }`,
		"dist/placeholder":                       "kept",
		"dist/console-OLD.js.br":                 "removed",
		"node_modules/uplot/dist/uPlot.min.css":  `.uplot{color:red}`,
		"node_modules/uplot/package.json":        `{"name":"uplot","version":"1.2.3","license":"MIT"}`,
		"node_modules/uplot/LICENSE":             "MIT text",
		"node_modules/lib/package.json":          `{"name":"lib","version":"0.1.0","main":"index.js"}`,
		"node_modules/lib/index.js":              `export function used() { console.log("used"); }`,
		"node_modules/lib/LICENSE":               "Zero Clause\nas is",
		"node_modules/@scope/late/package.json":  `{"name":"@scope/late","version":"3.0.0","license":"ISC","main":"i.js"}`,
		"node_modules/@scope/late/i.js":          `console.log("scoped");`,
		"node_modules/@scope/late/LICENCE.txt":   "ISC text",
		"node_modules/not-imported/package.json": `{"name":"not-imported","version":"1.0.0"}`,
	}
}

// dist reads what bundle wrote.
func dist(t *testing.T, root string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, "dist"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(root, "dist", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(content)
	}
	return files
}

func TestBundle(t *testing.T) {
	root := sources(t, console())
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	made := dist(t, root)
	var m manifest
	if err := json.Unmarshal([]byte(made["manifest.json"]), &m); err != nil {
		t.Fatal(err)
	}
	styles, script := made[m.Names["console.css"]], made[m.Names["console.js"]]
	if i, j, k := strings.Index(styles, ".uplot"), strings.Index(styles, "--ink:"), strings.Index(styles, ".zebra"); i < 0 || i > j || j > k {
		t.Errorf("the styles are %s", styles)
	}
	if !strings.Contains(script, "used") || strings.Contains(script, "late\"") || len(m.Files) != 3 {
		t.Errorf("the script is %s, the files are %v", script, m.Files)
	}
	for _, name := range m.Files {
		if made[name] == "" || made[name+".br"] == "" || made[name+".gz"] == "" {
			t.Errorf("%s or a form of it is missing", name)
		}
	}
	if made["placeholder"] != "kept" || made["console-OLD.js.br"] != "" {
		t.Errorf("dist has %v", m.Files)
	}

	change(t, root, "js/late.js", `export const late = "another";`)
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	changed := dist(t, root)
	if len(changed) != len(made) || changed["manifest.json"] == made["manifest.json"] {
		t.Errorf("after a change there are %d files instead of %d", len(changed), len(made))
	}
}

func TestLicences(t *testing.T) {
	root := sources(t, console())
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	var got []licence
	if err := json.Unmarshal([]byte(dist(t, root)["licences.json"]), &got); err != nil {
		t.Fatal(err)
	}
	want := []licence{
		{"@scope/late", "3.0.0", "ISC", "ISC text"},
		{"lib", "0.1.0", "Zero Clause", "Zero Clause\nas is"},
		{"uplot", "1.2.3", "MIT", "MIT text"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("licences are %v, want %v", got, want)
	}
	if err := os.Remove(filepath.Join(root, "node_modules/lib/LICENSE")); err != nil {
		t.Fatal(err)
	}
	if err := run(root); err == nil || !strings.Contains(err.Error(), "lib") {
		t.Errorf("without a licence: %v", err)
	}
}

func TestBadSource(t *testing.T) {
	root := sources(t, console())
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	before := dist(t, root)
	change(t, root, "js/main.js", `import "no-such-library";`)
	if err := run(root); err == nil {
		t.Error("no error")
	}
	if after := dist(t, root); after["manifest.json"] != before["manifest.json"] || len(after) != len(before) {
		t.Error("what was built before is gone")
	}
}
