package api_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// spec is the served OpenAPI document, read back the way a client would: not
// with the types that wrote it.
type spec struct {
	Paths      map[string]map[string]*specOperation `json:"paths"`
	Components struct {
		Schemas         map[string]*specSchema       `json:"schemas"`
		SecuritySchemes map[string]map[string]string `json:"securitySchemes"`
	} `json:"components"`

	// patterns are the expressions of the paths.
	patterns map[string]*regexp.Regexp
}

type specOperation struct {
	OperationID string `json:"operationId"`
	Parameters  []struct {
		Name, In string
		Required bool
	} `json:"parameters"`
	RequestBody *specBody             `json:"requestBody"`
	Security    []map[string][]string `json:"security"`
	Role        string                `json:"x-role"`
	Responses   map[string]*specBody  `json:"responses"`
}

type specBody struct {
	Content map[string]struct {
		Schema  *specSchema    `json:"schema"`
		Example jsontext.Value `json:"example"`
	} `json:"content"`
}

// specSchema is the part of JSON Schema that the document uses. A keyword that
// isn't here fails the test that reads the document.
type specSchema struct {
	Ref                  string                 `json:"$ref"`
	Type                 string                 `json:"type"`
	Format               string                 `json:"format"`
	Description          string                 `json:"description"`
	Enum                 []string               `json:"enum"`
	Default              jsontext.Value         `json:"default"`
	Minimum              *float64               `json:"minimum"`
	Maximum              *float64               `json:"maximum"`
	Items                *specSchema            `json:"items"`
	Properties           map[string]*specSchema `json:"properties"`
	Required             []string               `json:"required"`
	AdditionalProperties *specSchema            `json:"additionalProperties"`
	OneOf                []*specSchema          `json:"oneOf"`
	AnyOf                []*specSchema          `json:"anyOf"`
}

func loadSpec(t *testing.T, c *client) *spec {
	t.Helper()
	r := c.send("GET", "/openapi.json", nil)
	s := &spec{patterns: map[string]*regexp.Regexp{}}
	if err := json.Unmarshal(r.body, s); err != nil {
		t.Fatalf("GET /openapi.json: %d: %v", r.status, err)
	}
	for path := range s.Paths {
		expr := regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`)
		s.patterns[path] = regexp.MustCompile("^" + expr + "$")
	}
	return s
}

// operation finds what the document says about a request; nil if nothing.
func (s *spec) operation(method, path string) *specOperation {
	path, _, _ = strings.Cut(path, "?")
	var found *specOperation
	for pattern, item := range s.Paths {
		op := item[strings.ToLower(method)]
		// A literal path wins over a pattern.
		if op != nil && s.patterns[pattern].MatchString(path) && (found == nil || pattern == path) {
			found = op
		}
	}
	return found
}

// check holds an answer against the document.
func (s *spec) check(t *testing.T, method, path string, r *reply) {
	t.Helper()
	if r.header.Get("X-Request-ID") == "" {
		t.Errorf("%s %s: no request id", method, path)
	}
	mediaType, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	if r.status >= 400 && mediaType != "application/problem+json" {
		t.Errorf("%s %s: %d as %q: %s", method, path, r.status, mediaType, r.body)
	}
	op := s.operation(method, path)
	if op == nil || r.status == 304 {
		return
	}
	body := op.Responses[fmt.Sprint(r.status)]
	if body == nil && r.status >= 400 {
		body = op.Responses["default"]
	}
	if body == nil {
		t.Errorf("%s %s: the document doesn't know status %d: %s", method, path, r.status, r.body)
		return
	}
	media, ok := body.Content[mediaType]
	if !ok {
		t.Errorf("%s %s: the document doesn't know a %d as %q", method, path, r.status, mediaType)
		return
	}
	if strings.HasSuffix(mediaType, "json") {
		for _, complaint := range s.validate(media.Schema, r.body, "") {
			t.Errorf("%s %s: %s, in %s", method, path, complaint, r.body)
		}
	}
}

// validate lists where a value breaks its schema. Members that the schema
// doesn't name are complaints too, unless it names none.
func (s *spec) validate(schema *specSchema, value jsontext.Value, at string) []string {
	for schema.Ref != "" {
		next := s.Components.Schemas[strings.TrimPrefix(schema.Ref, "#/components/schemas/")]
		if next == nil {
			return []string{at + ": dangling " + schema.Ref}
		}
		schema = next
	}
	for _, alternatives := range [][]*specSchema{schema.OneOf, schema.AnyOf} {
		if len(alternatives) > 0 && !slices.ContainsFunc(alternatives, func(a *specSchema) bool { return len(s.validate(a, value, at)) == 0 }) {
			return []string{at + ": fits no alternative: " + string(value)}
		}
	}
	switch schema.Type {
	case "object":
		return s.validateObject(schema, value, at)
	case "array":
		return s.validateArray(schema, value, at)
	}
	return validateScalar(schema, value, at)
}

func (s *spec) validateObject(schema *specSchema, value jsontext.Value, at string) (complaints []string) {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(value, &members); err != nil || members == nil {
		return []string{at + ": no object"}
	}
	for _, name := range schema.Required {
		if _, ok := members[name]; !ok {
			complaints = append(complaints, at+"/"+name+": missing")
		}
	}
	for name, member := range members {
		property, ok := schema.Properties[name]
		switch {
		case ok:
			complaints = append(complaints, s.validate(property, member, at+"/"+name)...)
		case schema.AdditionalProperties != nil:
			complaints = append(complaints, s.validate(schema.AdditionalProperties, member, at+"/"+name)...)
		case len(schema.Properties) > 0:
			complaints = append(complaints, at+"/"+name+": not in the schema")
		}
	}
	return complaints
}

func (s *spec) validateArray(schema *specSchema, value jsontext.Value, at string) (complaints []string) {
	var elements []jsontext.Value
	if err := json.Unmarshal(value, &elements); err != nil || elements == nil {
		return []string{at + ": no array"}
	}
	for i, element := range elements {
		complaints = append(complaints, s.validate(schema.Items, element, fmt.Sprintf("%s/%d", at, i))...)
	}
	return complaints
}

func validateScalar(schema *specSchema, value jsontext.Value, at string) []string {
	kinds := map[string]string{"string": `"`, "integer": "0", "number": "0", "boolean": "tf", "null": "n"}
	if want, ok := kinds[schema.Type]; ok && !strings.ContainsRune(want, rune(value.Kind())) {
		return []string{fmt.Sprintf("%s: %s is no %s", at, value, schema.Type)}
	}
	if schema.Type == "integer" && strings.ContainsAny(string(value), ".eE") {
		return []string{fmt.Sprintf("%s: %s is no integer", at, value)}
	}
	if text := strings.Trim(string(value), `"`); len(schema.Enum) > 0 && !slices.Contains(schema.Enum, text) {
		return []string{fmt.Sprintf("%s: %s is not one of %v", at, value, schema.Enum)}
	}
	return nil
}
