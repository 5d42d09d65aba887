package openapi

import (
	"cmp"
	"encoding"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Schema is the part of JSON Schema 2020-12 that the wire types need.
type Schema struct {
	Ref                  string             `json:"$ref,omitempty"`
	Type                 string             `json:"type,omitempty"`
	Format               string             `json:"format,omitempty"`
	Description          string             `json:"description,omitempty"`
	Enum                 []string           `json:"enum,omitempty"`
	Default              jsontext.Value     `json:"default,omitempty"`
	Minimum              *float64           `json:"minimum,omitempty"`
	Maximum              *float64           `json:"maximum,omitempty"`
	Items                *Schema            `json:"items,omitempty"`
	Properties           map[string]*Schema `json:"properties,omitempty"`
	Required             []string           `json:"required,omitempty"`
	AdditionalProperties any                `json:"additionalProperties,omitempty"`
	OneOf                []*Schema          `json:"oneOf,omitempty"`
	AnyOf                []*Schema          `json:"anyOf,omitempty"`

	// order is the order of the Go fields, for the page.
	order []string
}

const refPrefix = "#/components/schemas/"

// Ref refers to a named schema.
func Ref(name string) *Schema { return &Schema{Ref: refPrefix + name} }

// reflector turns Go types into schemas. A struct type becomes a named schema,
// referred to from wherever it is used, so recursion ends.
type reflector struct {
	opts    Options
	schemas map[string]*Schema
	names   map[reflect.Type]string
}

func newReflector(opts Options) *reflector {
	r := &reflector{opts: opts, schemas: map[string]*Schema{}, names: map[reflect.Type]string{}}
	for name, s := range opts.Named {
		r.schemas[name] = s
	}
	return r
}

var (
	rawType       = reflect.TypeFor[jsontext.Value]()
	timeType      = reflect.TypeFor[time.Time]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// of returns a fresh schema of t, a reference for structs.
func (r *reflector) of(t reflect.Type) *Schema {
	if name, ok := r.opts.Types[t]; ok {
		return Ref(name)
	}
	switch {
	case t == rawType:
		return &Schema{}
	case t == timeType:
		return &Schema{Type: "string", Format: "date-time"}
	case t.Implements(textMarshaler):
		return &Schema{Type: "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return r.of(t.Elem())
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.String:
		return &Schema{Type: "string"}
	case reflect.Float32:
		return &Schema{Type: "number", Format: "float"}
	case reflect.Float64:
		return &Schema{Type: "number", Format: "double"}
	case reflect.Slice, reflect.Array:
		return &Schema{Type: "array", Items: r.item(t.Elem())}
	case reflect.Map:
		return &Schema{Type: "object", AdditionalProperties: r.of(t.Elem())}
	case reflect.Struct:
		return r.structRef(t)
	case reflect.Interface:
		return &Schema{}
	}
	return integer(t)
}

// item is an element of an array, where a pointer says that null may stand.
func (r *reflector) item(t reflect.Type) *Schema {
	if t.Kind() == reflect.Pointer {
		return &Schema{AnyOf: []*Schema{r.of(t), {Type: "null"}}}
	}
	return r.of(t)
}

func integer(t reflect.Type) *Schema {
	s := &Schema{Type: "integer"}
	switch t.Kind() {
	case reflect.Int64, reflect.Int, reflect.Uint64, reflect.Uint, reflect.Uintptr:
		s.Format = "int64"
	default:
		s.Format = "int32"
	}
	if t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uintptr {
		s.Minimum = new(float64)
	}
	return s
}

func (r *reflector) structRef(t reflect.Type) *Schema {
	name, ok := r.names[t]
	if !ok {
		name = r.freeName(t)
		r.names[t] = name
		s := &Schema{Type: "object", Properties: map[string]*Schema{}}
		r.schemas[name] = s
		r.addFields(s, t)
	}
	return Ref(name)
}

// freeName is the type's name with a capital, qualified by its package if the
// name is taken.
func (r *reflector) freeName(t reflect.Type) string {
	name := capital(cmp.Or(t.Name(), "object"))
	if _, taken := r.schemas[name]; !taken {
		return name
	}
	pkg := t.PkgPath()
	name = capital(pkg[strings.LastIndexByte(pkg, '/')+1:]) + name
	for i := 2; ; i++ {
		if _, taken := r.schemas[name]; !taken {
			return name
		}
		name += strconv.Itoa(i)
	}
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (r *reflector) addFields(s *Schema, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "":
			r.addEmbedded(s, f.Type)
			continue
		case !f.IsExported():
			continue
		}
		name = cmp.Or(name, f.Name)
		s.Properties[name] = r.field(f)
		s.order = append(s.order, name)
		if !strings.Contains(options, "omit") {
			s.Required = append(s.Required, name)
		}
	}
}

func (r *reflector) addEmbedded(s *Schema, t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct {
		r.addFields(s, t)
	}
}

// field is the schema of a struct field. Tags add to what the type says:
// doc (a description), enum (comma-separated), min, max, default, and schema,
// which names a hand-written schema or a JSON type in place of the Go type's.
func (r *reflector) field(f reflect.StructField) *Schema {
	s := r.of(f.Type)
	if name := f.Tag.Get("schema"); name != "" {
		s = r.named(name)
	}
	s.Description = f.Tag.Get("doc")
	if enum := f.Tag.Get("enum"); enum != "" {
		s.Enum = strings.Split(enum, ",")
	}
	s.Minimum = cmp.Or(number(f.Tag.Get("min")), s.Minimum)
	s.Maximum = number(f.Tag.Get("max"))
	s.Default = defaultValue(s.Type, f.Tag.Get("default"))
	return s
}

func (r *reflector) named(name string) *Schema {
	if _, ok := r.opts.Named[name]; ok {
		return Ref(name)
	}
	return &Schema{Type: name}
}

func number(text string) *float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	return &f
}

// defaultValue is a default as JSON; nil when there is none.
func defaultValue(jsonType, text string) jsontext.Value {
	if text == "" {
		return nil
	}
	if jsonType == "string" {
		return quoted(text)
	}
	return jsontext.Value(text)
}
