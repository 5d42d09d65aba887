package ndjson

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine"
)

// AppendEntity appends an entity as a line that an import takes.
func AppendEntity(dst []byte, e *engine.Entity) ([]byte, error) {
	dst = append(dst, `{"key":`...)
	dst, err := jsontext.AppendQuote(dst, e.Key.String())
	if err != nil {
		return dst, err
	}
	dst = append(dst, `,"entity":`...)
	return append(append(dst, e.Doc...), "}\n"...), nil
}

// AppendBreak appends the line that ends an export that couldn't be finished. An
// import refuses it, so that it isn't taken for the end of the data.
func AppendBreak(dst []byte, detail string) []byte {
	quoted, err := jsontext.AppendQuote(nil, detail)
	if err != nil {
		quoted = []byte(`"the export broke off"`)
	}
	return append(append(append(dst, `{"export_broke_off":`...), quoted...), "}\n"...)
}
