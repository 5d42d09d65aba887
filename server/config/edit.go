package config

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/internal/errs"
)

// edit is a document of changes.
type edit struct {
	values          layer
	persist, dryRun bool
}

const fromRuntime = "runtime"

// parseEdit reads a document and checks all that is in it.
func parseEdit(document []byte) (*edit, error) {
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return nil, errs.New(errs.Invalid, "invalid_json", "the body can't be read as JSON: %v; nothing was changed", err)
	}
	tree, ok := value.(map[string]any)
	if !ok {
		return nil, errs.Field("not_an_object", "", "the body must be a JSON object of settings; nothing was changed")
	}
	p := &editParser{edit: &edit{values: layer{}}}
	p.edit.persist = p.option(tree, "persist")
	p.edit.dryRun = p.option(tree, "dry_run")
	for _, leaf := range leaves(tree) {
		p.leaf(leaf)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if len(p.edit.values) == 0 {
		return nil, errs.Field("empty_body", "", `the body names no setting; write them as in {"logging":{"level":"debug"}}`)
	}
	return p.edit, nil
}

// editParser collects what is wrong with a document. Each kind of problem has a
// code of its own, and the first kind there is decides.
type editParser struct {
	edit                      *edit
	unknown, invalid, restart []errs.FieldError
}

// maxProblems bounds an answer.
const maxProblems = 20

// option takes a boolean that is no setting out of the document.
func (p *editParser) option(tree map[string]any, name string) bool {
	value, given := tree[name]
	delete(tree, name)
	on, ok := value.(bool)
	if given && !ok {
		p.invalid = append(p.invalid, errs.FieldError{Pointer: "/" + name, Detail: name + " must be true or false"})
	}
	return on
}

func (p *editParser) leaf(leaf leaf) {
	if len(p.unknown) == maxProblems {
		return // looking for the nearest names is the slow part
	}
	problem := func(format string, args ...any) errs.FieldError {
		return errs.FieldError{Pointer: string(leaf.pointer), Detail: fmt.Sprintf(format, args...)}
	}
	k := find(canonical(leaf.path))
	if k == nil {
		p.unknown = append(p.unknown, problem("%s", unknown(shorten(leaf.path))))
		return
	}
	if !k.reload {
		p.restart = append(p.restart, problem("%s can't change while the server runs; set it in the file and restart", k.path))
		return
	}
	value, err := k.fromFile(leaf.value)
	if err != nil {
		p.invalid = append(p.invalid, problem("%s %v", k.path, err))
		return
	}
	if !p.edit.values.set(k, given{value, fromRuntime}) {
		p.invalid = append(p.invalid, problem("%s is given twice", k.path))
	}
}

func (p *editParser) err() error {
	for _, list := range []struct {
		fields []errs.FieldError
		kind   errs.Kind
		code   string
	}{
		{p.unknown, errs.Invalid, "unknown_setting"},
		{p.invalid, errs.Invalid, "invalid_setting"},
		{p.restart, errs.Conflict, "restart_required"},
	} {
		if len(list.fields) == 0 {
			continue
		}
		fields := list.fields[:min(len(list.fields), maxProblems)]
		var details []string
		for _, f := range fields {
			details = append(details, f.Detail)
		}
		return &errs.Error{Kind: list.kind, Code: list.code, Fields: fields,
			Detail: strings.Join(details, "; ") + "; nothing was changed"}
	}
	return nil
}

// canonical maps the names that a document may use besides to the keys.
func canonical(path string) string {
	switch path {
	case "request_timeout_ms":
		return "server.request_timeout_ms"
	case "server.threads":
		return "server.worker_threads"
	case "rocksdb.db_path":
		return pathKey
	}
	if rest, ok := strings.CutPrefix(path, "rocksdb."); ok {
		return "storage." + rest
	}
	return path
}

// shorten keeps a name fit for an answer.
func shorten(name string) string {
	if len(name) <= longestName {
		return name
	}
	return strings.ToValidUTF8(name[:longestName], "") + "..."
}

// encode writes a setting's value as JSON.
func encode(value any) jsontext.Value {
	content, err := json.Marshal(value)
	if err != nil { // a text that isn't UTF-8
		content, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(fmt.Sprint(value), "?"))
	}
	return content
}
