package openapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

// PagePolicy is the Content-Security-Policy that the page needs: its own style
// sheet and nothing else, so no script and no other host.
func PagePolicy() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// HTML renders the document as one page that works without scripts.
func (d *Document) HTML() ([]byte, error) {
	t, err := template.New("page").Parse(pageSource)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		Page
		Style template.CSS
	}{d.Page(), template.CSS(pageStyle)})
	return out.Bytes(), err
}

// Page is the document as people read it.
type Page struct {
	Info   Info
	Groups []Group
}

// Group are the operations of a tag.
type Group struct {
	Name       string
	Operations []Section
}

// Section is one operation.
type Section struct {
	ID, Method, Path, Summary string
	// Role is what a caller needs.
	Role         string
	Paragraphs   []string
	Parameters   []Row
	Bodies       []Block
	BodyOptional bool
	Answers      []Block
}

// Block is one body or answer.
type Block struct {
	// Status is an answer's; empty for a body. Media is the media type, if there is
	// any content.
	Status, Media, Description string
	Rows                       []Row
	Example                    string
}

// Heading names the block.
func (b Block) Heading() string { return strings.TrimSpace(b.Status + " " + b.Media) }

// Row is a parameter or a field.
type Row struct {
	Name string
	// In is path, query or header; empty for a field of a body.
	In, Type, Description string
	Required              bool
}

// Page returns what HTML renders.
func (d *Document) Page() Page {
	p := Page{Info: d.Info}
	at := map[string]int{}
	for _, op := range d.operations {
		tag := op.Tags[0]
		if _, ok := at[tag]; !ok {
			at[tag] = len(p.Groups)
			p.Groups = append(p.Groups, Group{Name: tag})
		}
		g := &p.Groups[at[tag]]
		g.Operations = append(g.Operations, d.section(op))
	}
	return p
}

func (d *Document) section(op *operation) Section {
	s := Section{
		ID: op.OperationID, Method: op.source.Method, Path: op.source.Path, Summary: op.Summary, Role: op.Role,
		Paragraphs: paragraphs(op.Description),
	}
	for _, p := range op.Parameters {
		s.Parameters = append(s.Parameters, Row{
			Name: p.Name, In: p.In, Type: d.typeName(p.Schema),
			Description: withDefault(p.Description, p.Schema), Required: p.Required,
		})
	}
	if op.RequestBody != nil {
		s.Bodies = d.blocks("", op.RequestBody)
		s.BodyOptional = !op.RequestBody.Required
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if status != "default" {
			s.Answers = append(s.Answers, d.blocks(status, op.Responses[status])...)
		}
	}
	return s
}

func (d *Document) blocks(status string, b *body) []Block {
	if len(b.Content) == 0 {
		return []Block{{Status: status, Description: b.Description}}
	}
	var blocks []Block
	for _, mediaName := range slices.Sorted(maps.Keys(b.Content)) {
		m := b.Content[mediaName]
		blocks = append(blocks, Block{
			Status:      status,
			Media:       mediaName,
			Description: b.Description,
			Rows:        d.rows("", m.Schema, 0),
			Example:     example(m),
		})
	}
	return blocks
}

// maxNesting bounds how far the table of a body follows nested objects; deeper
// ones are rare here, and a recursive type must end somewhere.
const maxNesting = 3

func (d *Document) rows(prefix string, s *Schema, depth int) []Row {
	s = d.resolve(s)
	if s == nil || depth > maxNesting {
		return nil
	}
	var rows []Row
	if depth == 0 { // a body with two forms; a member with several is in its type
		for _, form := range s.OneOf {
			rows = append(rows, d.rows(prefix, form, depth+1)...)
		}
	}
	for _, name := range s.names() {
		field := s.Properties[name]
		rows = append(rows, Row{
			Name: prefix + name, Type: d.typeName(field),
			Description: withDefault(field.Description, field),
			Required:    slices.Contains(s.Required, name),
		})
		inner, suffix := d.inner(field)
		rows = append(rows, d.rows(prefix+name+suffix+".", inner, depth+1)...)
	}
	return rows
}

// inner is the object that a field holds, directly or as an array's element.
func (d *Document) inner(field *Schema) (s *Schema, suffix string) {
	s = d.resolve(field)
	for s != nil && s.Type == "array" {
		s, suffix = d.resolve(s.Items), suffix+"[]"
	}
	if s != nil && len(s.AnyOf) > 0 {
		s = d.resolve(s.AnyOf[0])
	}
	return s, suffix
}

func (d *Document) resolve(s *Schema) *Schema {
	for s != nil && s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, refPrefix)]
	}
	return s
}

// names lists the properties in the order of the Go type, else alphabetically.
func (s *Schema) names() []string {
	if s.order != nil {
		return s.order
	}
	return slices.Sorted(maps.Keys(s.Properties))
}

func (d *Document) typeName(s *Schema) string {
	switch {
	case s == nil:
		return "any"
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, refPrefix)
	case len(s.Enum) > 0:
		return strings.Join(s.Enum, " | ")
	case s.Type == "array":
		return "array of " + d.typeName(s.Items)
	case len(s.AnyOf) > 0:
		return d.alternatives(s.AnyOf)
	case len(s.OneOf) > 0:
		return d.alternatives(s.OneOf)
	case s.Type == "":
		return "any"
	}
	return s.Type
}

func (d *Document) alternatives(schemas []*Schema) string {
	var names []string
	for _, s := range schemas {
		names = append(names, d.typeName(s))
	}
	return strings.Join(names, " or ")
}

func withDefault(description string, s *Schema) string {
	if len(s.Default) == 0 {
		return description
	}
	return strings.TrimSpace(description + " Default: " + s.Default.String() + ".")
}

func paragraphs(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n\n")
}

// example is the readable form of a media type's example.
func example(m mediaType) string {
	if len(m.Example) == 0 {
		return ""
	}
	if m.Example.Kind() == '"' {
		return unquoted(m.Example)
	}
	v := m.Example.Clone()
	if err := v.Indent(); err != nil {
		return v.String()
	}
	return v.String()
}

func unquoted(v jsontext.Value) string {
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return v.String()
	}
	return string(text)
}
