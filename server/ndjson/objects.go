package ndjson

import (
	"github.com/google/uuid"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

// Objects reads lines that are entities and nothing else, all for one table.
// Make one with NewObjects.
type Objects struct {
	table     string
	column    string
	extractor *schema.Extractor
	extracted schema.Extracted
}

// NewObjects takes the primary key of each object from a column, or makes a
// UUIDv7 for it if the column is empty. Errors are about the fields /table and
// /column.
func NewObjects(table, column string) (*Objects, error) {
	if err := engine.ValidateTable(table); err != nil {
		return nil, errs.Field("invalid_table", "/table", "%v", err)
	}
	o := &Objects{table: table, column: column}
	if column == "" {
		return o, nil
	}
	if _, err := schema.ParsePath(column); err != nil {
		return nil, errs.Field("invalid_column", "/column", "%v", err)
	}
	o.extractor = schema.NewExtractor(column)
	return o, nil
}

// op is the put of one object.
func (o *Objects) op(line []byte) (engine.Op, string, error) {
	doc, err := schema.ValidateDocument(line)
	if err != nil {
		return engine.Op{}, "", err
	}
	key := engine.Key{Table: o.table}
	if key.PK, err = o.pk(doc); err != nil {
		return engine.Op{}, "", err
	}
	return engine.Op{Kind: engine.OpPut, Key: key, Doc: doc}, key.String(), key.Validate()
}

func (o *Objects) pk(doc []byte) (string, error) {
	if o.extractor == nil {
		id, err := uuid.NewV7()
		return id.String(), err
	}
	if err := o.extractor.Extract(doc, &o.extracted); err != nil {
		return "", err
	}
	values := o.extracted.Values(0)
	if len(values) == 1 {
		switch v := values[0]; v.Kind() {
		case schema.KindString:
			return v.Text(), nil
		case schema.KindNumber:
			return v.String(), nil
		}
	}
	return "", errs.New(errs.Invalid, "missing_key", "the column %q, which the key is taken from, holds no single text or number", o.column)
}
