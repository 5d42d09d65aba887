package ndjson

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/rest"
)

// BatchOperation is one line of an import, and one operation of a batch.
type BatchOperation struct {
	Op        string         `json:"op,omitzero" enum:"put,patch,delete" default:"put"`
	Key       string         `json:"key" doc:"table:pk"`
	Entity    jsontext.Value `json:"entity,omitzero" schema:"object" doc:"The entity of a put, the merge patch of a patch."`
	IfVersion *uint64        `json:"if_version,omitzero" doc:"Fail with version_mismatch unless the entity has this version."`
}

// decode reads one line, the entity into the memory that o.Entity has.
func (o *BatchOperation) decode(line []byte) error {
	room := o.Entity[:0]
	if entity, around, ok := schema.Lift(line, "entity"); ok && rest.DecodeInto(around, o) == nil {
		o.Entity = append(o.Entity[:0], entity...)
		return nil
	}
	*o = BatchOperation{Entity: room}
	return rest.DecodeInto(line, o)
}

// Write is the engine's form of the operation.
func (o *BatchOperation) Write() (engine.Op, error) {
	key, err := engine.ParseKey(o.Key)
	if err != nil {
		return engine.Op{}, rest.PrefixFields(err, "/key")
	}
	op := engine.Op{Key: key, Doc: o.Entity, IfVersion: o.IfVersion}
	switch o.Op {
	case "", "put":
		op.Kind = engine.OpPut
	case "patch":
		op.Kind = engine.OpPatch
	case "delete":
		op.Kind = engine.OpDelete
		if len(o.Entity) > 0 {
			return op, errs.Field("invalid_value", "/entity", "a delete takes no entity")
		}
		return op, nil
	default:
		return op, errs.Field("invalid_value", "/op", "must be put, patch or delete, not %q", o.Op)
	}
	if len(o.Entity) == 0 {
		return op, errs.Field("missing_field", "/entity", "a %s needs an entity", o.Op)
	}
	return op, nil
}
