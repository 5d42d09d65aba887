// Command bundle makes what browsers load of the console:
//
//	bundle web
//
// It bundles web/js/main.js with what that imports from web/node_modules, and
// web/css/*.css, into web/dist: minified, under names that have a digest of the
// content, each with a Brotli (.br) and a gzip (.gz) form beside it. Scripts that
// others import on demand become files of their own. manifest.json lists the
// files for the Go package web, licences.json the libraries that are in them.
//
// The same sources give the same bytes. Until manifest.json is replaced, what was
// built before stays whole.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bundle FOLDER, which has js, css and node_modules, and gets dist")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	root, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	styles, err := bundleStyles(root)
	if err != nil {
		return err
	}
	scripts, err := bundleScripts(root)
	if err != nil {
		return err
	}
	libraries, err := licences(root, append(styles.inputs, scripts.inputs...))
	if err != nil {
		return err
	}
	files := append(styles.files, scripts.files...)
	return write(filepath.Join(root, "dist"), manifest{
		Names: map[string]string{"console.css": styles.entry, "console.js": scripts.entry},
	}, files, libraries)
}

// bundle is what esbuild made of one entry point.
type bundle struct {
	// entry is the file that pages load; it is one of files.
	entry string
	files []file
	// inputs are the sources that are in the files, relative to the root.
	inputs []string
}

// file is a file of dist.
type file struct {
	name string
	body []byte
}

// order is how the styles begin, as in package web.
var order = []string{"tokens.css", "base.css", "layout.css", "components.css", "forms.css", "content.css"}

// bundleStyles takes all of our styles, after those of the libraries.
func bundleStyles(root string) (bundle, error) {
	found, err := filepath.Glob(filepath.Join(root, "css", "*.css"))
	if err != nil {
		return bundle{}, err
	}
	slices.SortStableFunc(found, func(a, b string) int { return rank(a) - rank(b) })
	var all strings.Builder
	all.WriteString("@import \"uplot/dist/uPlot.min.css\";\n")
	for _, name := range found {
		fmt.Fprintf(&all, "@import \"./css/%s\";\n", filepath.Base(name))
	}
	options := options(root)
	options.Stdin = &api.StdinOptions{Contents: all.String(), ResolveDir: root, Sourcefile: "console.css", Loader: api.LoaderCSS}
	options.EntryNames = "console-[hash]"
	return build(options)
}

// rank is the place of a style; those without one follow in the order of their names.
func rank(name string) int {
	if i := slices.Index(order, filepath.Base(name)); i >= 0 {
		return i
	}
	return len(order)
}

func bundleScripts(root string) (bundle, error) {
	options := options(root)
	options.EntryPointsAdvanced = []api.EntryPoint{{InputPath: "./js/main.js", OutputPath: "console"}}
	options.EntryNames = "[name]-[hash]"
	options.ChunkNames = "[name]-[hash]"
	options.Format = api.FormatESModule
	options.Splitting = true
	return build(options)
}

func options(root string) api.BuildOptions {
	return api.BuildOptions{
		AbsWorkingDir:     root,
		Outdir:            filepath.Join(root, "dist"),
		Bundle:            true,
		Metafile:          true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		Charset:           api.CharsetUTF8,
		// The licences have a page of their own.
		LegalComments: api.LegalCommentsNone,
		// The oldest that have all the CSS and JavaScript that is used.
		Engines: []api.Engine{
			{Name: api.EngineChrome, Version: "123"},
			{Name: api.EngineFirefox, Version: "128"},
			{Name: api.EngineSafari, Version: "17.5"},
		},
		LogLevel: api.LogLevelWarning,
	}
}
