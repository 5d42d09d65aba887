// Package openapi describes a REST interface once and renders it twice: as an
// OpenAPI 3.1 document for programs and as a plain HTML page for people. The
// schemas come from the Go wire types by reflection, so they can't drift from
// what the server really reads and writes.
//
// It owns no goroutines and no locks; a Document isn't changed after Build.
package openapi

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/server/auth"
)

// Operation is one method on one path.
type Operation struct {
	Method string
	// Path is in the OpenAPI form: /entities/{key}.
	Path string
	// ID names the operation in generated clients: putEntity.
	ID string
	// Tag groups operations; the groups appear in the order of first use.
	Tag     string
	Summary string
	// Description is plain text; blank lines separate paragraphs.
	Description string
	Params      []Param
	// Body lists the forms the request body may take; none means no body.
	Body []Media
	// OptionalBody is set when the body may be left out.
	OptionalBody bool
	Answers      []Answer
	// Role is what a caller needs at least; unset lets nobody in.
	Role auth.Role
}

// Param is a parameter outside the body.
type Param struct {
	Name string
	// In is path, query or header.
	In string
	// Of is a value of the parameter's type; nil is a string.
	Of          any
	Required    bool
	Description string
	Enum        []string
	Default     string
}

// Media is one form of a body.
type Media struct {
	// Type is the media type.
	Type string
	// Of is the Go type whose JSON form this is; nil for text. Or is a second
	// one, for bodies with two forms.
	Of, Or reflect.Type
	// Example is a body that is really accepted or sent.
	Example string
}

// JSON is a JSON body of Go type T.
func JSON[T any](example string) Media {
	return Media{Type: "application/json", Of: reflect.TypeFor[T](), Example: example}
}

// Answer is one answer besides the errors, which every operation shares.
type Answer struct {
	Status      int
	Description string
	Media       []Media
}

// Info heads the document.
type Info struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description,omitempty"`
}

// Document is an OpenAPI 3.1 document.
type Document struct {
	OpenAPI    string              `json:"openapi"`
	Info       Info                `json:"info"`
	Tags       []Tag               `json:"tags"`
	Paths      map[string]pathItem `json:"paths"`
	Components components          `json:"components"`

	// operations keeps the order of the page.
	operations []*operation
}

// Tag is a group of operations.
type Tag struct {
	Name string `json:"name"`
}

// pathItem maps a lower-case method to its operation.
type pathItem map[string]*operation

type operation struct {
	OperationID string           `json:"operationId"`
	Tags        []string         `json:"tags"`
	Summary     string           `json:"summary"`
	Description string           `json:"description,omitempty"`
	Parameters  []parameter      `json:"parameters,omitempty"`
	RequestBody *body            `json:"requestBody,omitempty"`
	Responses   map[string]*body `json:"responses"`
	// Security lists the ways to present a key; a public operation has none.
	Security []requirement `json:"security"`
	// Role is what a key needs at least.
	Role   string     `json:"x-role"`
	source *Operation `json:"-"`
}

// requirement names a security scheme.
type requirement map[string][]string

// schemes are the ways to present a key.
var schemes = map[string]securityScheme{
	"bearer": {Type: "http", Scheme: "bearer", Description: "Authorization: Bearer KEY"},
	"apiKey": {Type: "apiKey", In: "header", Name: "api-key", Description: "api-key: KEY"},
}

type securityScheme struct {
	Type        string `json:"type"`
	Scheme      string `json:"scheme,omitempty"`
	In          string `json:"in,omitempty"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description"`
}

func security(role auth.Role) []requirement {
	if role == auth.Public {
		return []requirement{}
	}
	var either []requirement
	for _, name := range slices.Sorted(maps.Keys(schemes)) {
		either = append(either, requirement{name: {}})
	}
	return either
}

type parameter struct {
	Name        string  `json:"name"`
	In          string  `json:"in"`
	Description string  `json:"description,omitempty"`
	Required    bool    `json:"required,omitzero"`
	Schema      *Schema `json:"schema"`
}

// body is a requestBody or a response; they differ in what is required.
type body struct {
	Description string               `json:"description,omitempty"`
	Required    bool                 `json:"required,omitzero"`
	Content     map[string]mediaType `json:"content,omitempty"`
}

type mediaType struct {
	Schema  *Schema        `json:"schema,omitempty"`
	Example jsontext.Value `json:"example,omitempty"`
}

type components struct {
	Schemas         map[string]*Schema        `json:"schemas"`
	SecuritySchemes map[string]securityScheme `json:"securitySchemes"`
}

// Options of Build.
type Options struct {
	Info Info
	// Named are schemas written by hand, for the struct tag schema:"Name" and for
	// the Go types in Types.
	Named map[string]*Schema
	// Types maps Go types that marshal themselves to a Named schema.
	Types map[reflect.Type]string
	// Problem is the type of every error answer, sent as ProblemType.
	Problem     reflect.Type
	ProblemType string
}

// Build makes the document of the operations.
func Build(opts Options, ops []Operation) *Document {
	r := newReflector(opts)
	doc := &Document{OpenAPI: "3.1.0", Info: opts.Info, Paths: map[string]pathItem{}}
	seen := map[string]bool{}
	for i := range ops {
		op := buildOperation(r, &ops[i], opts)
		if !seen[ops[i].Tag] {
			seen[ops[i].Tag] = true
			doc.Tags = append(doc.Tags, Tag{ops[i].Tag})
		}
		item := doc.Paths[ops[i].Path]
		if item == nil {
			item = pathItem{}
			doc.Paths[ops[i].Path] = item
		}
		item[strings.ToLower(ops[i].Method)] = op
		doc.operations = append(doc.operations, op)
	}
	doc.Components = components{r.schemas, schemes}
	return doc
}

func buildOperation(r *reflector, op *Operation, opts Options) *operation {
	out := &operation{
		OperationID: op.ID, Tags: []string{op.Tag}, Summary: op.Summary, Description: op.Description,
		Responses: map[string]*body{}, Security: security(op.Role), Role: op.Role.String(), source: op,
	}
	for _, p := range op.Params {
		out.Parameters = append(out.Parameters, buildParameter(r, p))
	}
	if len(op.Body) > 0 {
		out.RequestBody = &body{Required: !op.OptionalBody, Content: buildContent(r, op.Body)}
	}
	for _, a := range op.Answers {
		description := a.Description
		if description == "" {
			description = http.StatusText(a.Status)
		}
		out.Responses[strconv.Itoa(a.Status)] = &body{Description: description, Content: buildContent(r, a.Media)}
	}
	if opts.Problem != nil {
		out.Responses["default"] = &body{
			Description: "The request failed; the code says why.",
			Content:     buildContent(r, []Media{{Type: opts.ProblemType, Of: opts.Problem}}),
		}
	}
	return out
}

func buildParameter(r *reflector, p Param) parameter {
	schema := &Schema{Type: "string"}
	if p.Of != nil {
		schema = r.of(reflect.TypeOf(p.Of))
	}
	schema.Enum = p.Enum
	schema.Default = defaultValue(schema.Type, p.Default)
	return parameter{p.Name, p.In, p.Description, p.Required || p.In == "path", schema}
}

func buildContent(r *reflector, media []Media) map[string]mediaType {
	content := map[string]mediaType{}
	for _, m := range media {
		content[m.Type] = mediaType{Schema: mediaSchema(r, m), Example: mediaExample(m)}
	}
	return content
}

func mediaSchema(r *reflector, m Media) *Schema {
	switch {
	case m.Of == nil:
		return &Schema{Type: "string"}
	case m.Or != nil:
		return &Schema{OneOf: []*Schema{r.of(m.Of), r.of(m.Or)}}
	}
	return r.of(m.Of)
}

// mediaExample is the example itself for JSON, a string for text and for
// sequences of JSON such as NDJSON.
func mediaExample(m Media) jsontext.Value {
	if m.Example != "" && m.Of != nil && (m.Type == "application/json" || strings.HasSuffix(m.Type, "+json")) {
		return jsontext.Value(m.Example)
	}
	return quoted(m.Example)
}

func quoted(text string) jsontext.Value {
	if text == "" {
		return nil
	}
	value, err := jsontext.AppendQuote(nil, text)
	if err != nil { // not UTF-8, so no example
		return nil
	}
	return value
}

// JSON is the document itself.
func (d *Document) JSON() ([]byte, error) {
	return json.Marshal(d, json.Deterministic(true))
}

// Routes lists the operations as "METHOD /path", in no particular order.
func (d *Document) Routes() []string {
	var routes []string
	for path, item := range d.Paths {
		for method := range item {
			routes = append(routes, strings.ToUpper(method)+" "+path)
		}
	}
	return routes
}
