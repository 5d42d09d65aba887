package rest

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
)

// Decode reads a body that must be one JSON object without unknown members into
// a wire type. Members without omitzero in their tag are required.
func Decode[T any](body []byte) (*T, error) {
	v := new(T)
	if err := DecodeInto(body, v); err != nil {
		return nil, err
	}
	return v, nil
}

// DecodeInto is Decode into a value that has its defaults already.
func DecodeInto[T any](body []byte, v *T) error {
	if err := DecodeOptional(body, v); err != nil {
		return err
	}
	return checkRequired(v)
}

// DecodeOptional is DecodeInto for a type all of whose members may be left out.
func DecodeOptional[T any](body []byte, v *T) error {
	switch kind := jsontext.Value(body).Kind(); kind {
	case '{':
	case 0:
		if strings.TrimSpace(string(body[:min(len(body), 64)])) == "" {
			return errs.Field("empty_body", "", "the body is empty; it must be a JSON object")
		}
	default:
		if jsontext.Value(body).IsValid() {
			return errs.Field("not_an_object", "", "the body must be a JSON object, not %s", kindName(kind))
		}
	}
	if err := json.Unmarshal(body, v, json.RejectUnknownMembers(true)); err != nil {
		return decodeError(err, body)
	}
	return nil
}

// checkRequired names every required member that is absent, null or empty.
func checkRequired(v any) error {
	value := reflect.ValueOf(v).Elem()
	var missing []errs.FieldError
	for i := range value.NumField() {
		name, options, _ := strings.Cut(value.Type().Field(i).Tag.Get("json"), ",")
		if !strings.Contains(options, "omitzero") && value.Field(i).IsZero() {
			missing = append(missing, errs.FieldError{Pointer: "/" + name, Detail: "required"})
		}
	}
	if missing == nil {
		return nil
	}
	return &errs.Error{Kind: errs.Invalid, Code: "missing_field", Fields: missing,
		Detail: "required: " + strings.Join(pointersOf(missing), ", ")}
}

func pointersOf(fields []errs.FieldError) []string {
	var pointers []string
	for _, f := range fields {
		pointers = append(pointers, f.Pointer)
	}
	return pointers
}

// decodeError says what is wrong with a body in the terms of the body.
func decodeError(err error, body []byte) error {
	var own *errs.Error
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &semantic) && errors.Is(semantic.Err, json.ErrUnknownName):
		return unknownMembers(semantic, body)
	case errors.As(err, &semantic) && errors.As(semantic.Err, &own):
		return PrefixFields(own, string(semantic.JSONPointer))
	case errors.As(err, &syntax):
		return syntaxError(syntax)
	case errors.As(err, &semantic):
		return typeError(semantic)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return errs.Field("invalid_json", "", "the body ends too early")
	}
	return errs.Wrap(err, errs.Invalid, "invalid_json", "the body can't be read as JSON")
}

func syntaxError(e *jsontext.SyntacticError) error {
	pointer := string(e.JSONPointer)
	switch {
	case errors.Is(e.Err, jsontext.ErrDuplicateName):
		return errs.Field("invalid_json", pointer, "the member %q stands twice in one object", e.JSONPointer.LastToken())
	case errors.Is(e.Err, io.ErrUnexpectedEOF):
		return errs.Field("invalid_json", pointer, "the body ends too early, at byte %d", e.ByteOffset)
	}
	return errs.Field("invalid_json", pointer, "not valid JSON at byte %d: %v", e.ByteOffset, e.Err)
}

// typeError tells which JSON type a member must have.
func typeError(e *json.SemanticError) error {
	want := goTypeName(e.GoType)
	if errors.Is(e.Err, strconv.ErrRange) {
		return errs.Field("invalid_type", string(e.JSONPointer), "the number %s is out of range for %s", short(e.JSONValue), want)
	}
	got := kindName(e.JSONKind)
	if e.JSONKind == '0' && len(e.JSONValue) > 0 {
		got = "the number " + short(e.JSONValue)
	}
	return errs.Field("invalid_type", string(e.JSONPointer), "must be %s, not %s", want, got)
}

func short(text []byte) string {
	if len(text) > 32 {
		return string(text[:32]) + "..."
	}
	return string(text)
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case '{', '}':
		return "an object"
	case '[', ']':
		return "an array"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	default:
		return "null"
	}
}

func goTypeName(t reflect.Type) string {
	if t == nil {
		return "another type"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return goTypeName(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "an integer"
	}
}

// unknownMembers names all members that the object with the unknown one has and
// its type lacks.
func unknownMembers(e *json.SemanticError, body []byte) error {
	known := memberNames(e.GoType)
	parent := e.JSONPointer.Parent()
	var fields []errs.FieldError
	for _, name := range unknownNames(body, parent, known) {
		fields = append(fields, errs.FieldError{
			Pointer: string(parent.AppendToken(name)),
			Detail:  "unknown; known here: " + strings.Join(known, ", "),
		})
	}
	if fields == nil { // the body breaks off further on; the first is certain
		fields = []errs.FieldError{{Pointer: string(e.JSONPointer), Detail: "unknown"}}
	}
	return &errs.Error{Kind: errs.Invalid, Code: "unknown_field", Fields: fields,
		Detail: "the body has unknown members: " + strings.Join(pointersOf(fields), ", ")}
}

// unknownNames reads the object at a pointer once more, for its names only.
func unknownNames(body []byte, at jsontext.Pointer, known []string) []string {
	dec := jsontext.NewDecoder(strings.NewReader(string(body)))
	for dec.StackPointer() != at || dec.PeekKind() != '{' {
		if _, err := dec.ReadToken(); err != nil {
			return nil
		}
	}
	var members map[string]jsontext.Value
	if err := json.UnmarshalDecode(dec, &members); err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(members)), func(name string) bool {
		return slices.Contains(known, name)
	})
}

func memberNames(t reflect.Type) []string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// PrefixFields moves an error's pointers below prefix, for a part of a body
// that was checked on its own. An error without pointers gets the prefix.
func PrefixFields(err error, prefix string) error {
	var e *errs.Error
	if prefix == "" || !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Fields = nil
	for _, f := range e.Fields {
		out.Fields = append(out.Fields, errs.FieldError{Pointer: prefix + f.Pointer, Detail: f.Detail})
	}
	if out.Fields == nil && e.Kind == errs.Invalid {
		out.Fields = []errs.FieldError{{Pointer: prefix, Detail: e.Detail}}
	}
	return &out
}

// Raw is an optional member that another package parses: nil if absent or null.
func Raw(v jsontext.Value) jsontext.Value {
	if v.Kind() == 'n' {
		return nil
	}
	return v
}

// PathText is one unescaped segment of the path, in memory of its own.
func PathText(c fiber.Ctx, name string) (string, error) {
	text, err := url.PathUnescape(c.Params(name))
	if err != nil {
		return "", errs.New(errs.Invalid, "invalid_path", "the %s in the path has a broken %%-escape", name)
	}
	return strings.Clone(text), nil
}

// QueryText is a query parameter in memory of its own, empty if absent.
func QueryText(c fiber.Ctx, name string) string {
	return string(c.Request().URI().QueryArgs().Peek(name))
}

// QueryBool is an optional query parameter, true or false.
func QueryBool(c fiber.Ctx, name string, absent bool) (bool, error) {
	switch text := QueryText(c, name); text {
	case "":
		return absent, nil
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	default:
		return false, errs.New(errs.Invalid, "invalid_parameter", "%s must be true or false, not %q", name, text)
	}
}

// Bounded is an optional number of a body: absent if nil, else within lo..hi.
func Bounded(v *int, pointer string, absent, lo, hi int) (int, error) {
	switch {
	case v == nil:
		return absent, nil
	case *v < lo || *v > hi:
		return 0, errs.Field("invalid_value", pointer, "must be %d to %d, not %d", lo, hi, *v)
	}
	return *v, nil
}

// OneOf checks an optional word of a body.
func OneOf(word, pointer, absent string, allowed ...string) (string, error) {
	word = cmp.Or(word, absent)
	if !slices.Contains(allowed, word) {
		return "", errs.Field("invalid_value", pointer, "must be one of %s, not %q", strings.Join(allowed, ", "), word)
	}
	return word, nil
}
