// Package web holds what browsers load of the console besides its pages: styles,
// scripts and icons, embedded into the program.
//
// The task web bundles css and js into dist, which isn't committed: minified,
// compressed, named by their content, with the libraries from npm and their
// licences. Without it, Open gives the styles from css as they stand and no
// scripts; pages read well that way, and Built tells them to say what is missing.
//
// A file's name changes with its content, so that caches may keep it for good. An
// Assets value never changes; it has no goroutines and no locks.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
)

// The names that URL takes.
const (
	Styles  = "console.css"
	Scripts = "console.js"
)

//go:embed css/*.css icons/*.svg dist
var embedded embed.FS

// order is how the styles begin: what follows may build on them.
var order = []string{"tokens.css", "base.css", "layout.css", "components.css", "forms.css", "content.css"}

// types are the media types of the files; others aren't served.
var types = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// Assets are the files of the console.
type Assets struct {
	// names maps a name to that of the file with its content.
	names    map[string]string
	files    map[string]file
	licences []Licence
	built    bool
}

// Licence is that of a library in the scripts.
type Licence struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Licence is the SPDX identifier, Text the whole licence.
	Licence string `json:"licence"`
	Text    string `json:"text"`
}

// manifest is dist/manifest.json.
type manifest struct {
	// Names maps what pages ask for to files in dist.
	Names map[string]string `json:"names"`
	// Files are all files, those included that only scripts ask for.
	Files []string `json:"files"`
}

// Open reads the embedded assets. It fails if what was built is incomplete.
func Open() (*Assets, error) { return open(embedded) }

func open(source fs.FS) (*Assets, error) {
	a := &Assets{names: map[string]string{}, files: map[string]file{}}
	if err := a.addIcons(source); err != nil {
		return nil, fmt.Errorf("the console's icons: %w", err)
	}
	encoded, err := fs.ReadFile(source, "dist/manifest.json")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = a.addStyles(source)
	case err == nil:
		err = a.addBuilt(source, encoded)
	}
	if err != nil {
		return nil, fmt.Errorf("the console's scripts and styles: %w", err)
	}
	return a, nil
}

// Built says whether the scripts are there, and the libraries they use.
func (a *Assets) Built() bool { return a.built }

// URL is the name of the file that has the content of name now: Styles, Scripts,
// or a file of the folder icons. It is empty if there is none.
func (a *Assets) URL(name string) string { return a.names[name] }

// Licences lists the libraries in the scripts, by name.
func (a *Assets) Licences() []Licence { return slices.Clone(a.licences) }

func (a *Assets) addIcons(source fs.FS) error {
	icons, err := fs.Glob(source, "icons/*.svg")
	if err != nil {
		return err
	}
	for _, icon := range icons {
		body, err := fs.ReadFile(source, icon)
		if err != nil {
			return err
		}
		if err := a.addSource(path.Base(icon), body); err != nil {
			return err
		}
	}
	return nil
}

// addStyles adds the sources of the styles, in the order in which the bundle has
// them.
func (a *Assets) addStyles(source fs.FS) error {
	found, err := fs.Glob(source, "css/*.css")
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b string) int { return rank(a) - rank(b) })
	var all bytes.Buffer
	for _, name := range found {
		body, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		all.Write(body)
		all.WriteByte('\n')
	}
	return a.addSource(Styles, all.Bytes())
}

// rank is the place of a style; those without one follow in the order of their names.
func rank(name string) int {
	if i := slices.Index(order, path.Base(name)); i >= 0 {
		return i
	}
	return len(order)
}

// addSource adds a file under a name that has a digest of its content.
func (a *Assets) addSource(name string, body []byte) error {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	ext := path.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "-" + digest(body) + ext
	a.names[name] = hashed
	a.files[hashed] = newFile(types[ext], body, nil, packed.Bytes())
	return nil
}

// addBuilt adds what the task web made.
func (a *Assets) addBuilt(source fs.FS, encoded []byte) error {
	var m manifest
	if err := json.Unmarshal(encoded, &m); err != nil {
		return fmt.Errorf("manifest.json: %w", err)
	}
	for _, name := range m.Files {
		if err := a.addPacked(source, name); err != nil {
			return err
		}
	}
	for name, hashed := range m.Names {
		if _, there := a.files[hashed]; !there {
			return fmt.Errorf("manifest.json names %s, which isn't among its files", hashed)
		}
		a.names[name] = hashed
	}
	for _, name := range []string{Styles, Scripts} {
		if a.names[name] == "" {
			return fmt.Errorf("manifest.json has no %s", name)
		}
	}
	licences, err := fs.ReadFile(source, "dist/licences.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(licences, &a.licences); err != nil {
		return fmt.Errorf("licences.json: %w", err)
	}
	a.built = true
	return nil
}

// addPacked adds a file of dist with its compressed forms.
func (a *Assets) addPacked(source fs.FS, name string) error {
	kind, known := types[path.Ext(name)]
	if !known {
		return fmt.Errorf("manifest.json lists %s, and such files aren't served", name)
	}
	var forms [3][]byte
	for i, suffix := range []string{"", ".br", ".gz"} {
		body, err := fs.ReadFile(source, "dist/"+name+suffix)
		if err != nil {
			return err
		}
		forms[i] = body
	}
	a.files[name] = newFile(kind, forms[0], forms[1], forms[2])
	return nil
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return base32.StdEncoding.EncodeToString(sum[:5])
}

// Answer is what a request for a file is answered with.
type Answer struct {
	Status int
	Header []Field
	Body   []byte
}

// Field is a field of a header.
type Field struct{ Name, Value string }

// Serve answers a request for a file, given the Accept-Encoding and If-None-Match
// fields of its header; it is false if there is no such file. The body is shared
// and must not be changed.
func (a *Assets) Serve(name, acceptEncoding, ifNoneMatch string) (Answer, bool) {
	f, there := a.files[name]
	if !there {
		return Answer{}, false
	}
	form := f.choose(acceptEncoding)
	answer := Answer{Status: http.StatusOK, Header: []Field{
		{"Cache-Control", "public, max-age=31536000, immutable"},
		{"ETag", form.etag},
		{"Vary", "Accept-Encoding"},
		{"X-Content-Type-Options", "nosniff"},
	}}
	if matches(ifNoneMatch, form.etag) {
		answer.Status = http.StatusNotModified
		return answer, true
	}
	answer.Header = append(answer.Header, Field{"Content-Type", f.kind})
	if form.coding != "" {
		answer.Header = append(answer.Header, Field{"Content-Encoding", form.coding})
	}
	answer.Body = form.body
	return answer, true
}
