package engine

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vccdb/vccdb/internal/errs"
)

// maxPKBytes bounds a primary key: it is part of every index of the table.
const maxPKBytes = 512

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// Key names one entity: a table and a primary key within it.
type Key struct{ Table, PK string }

// String is the wire form, table:pk.
func (k Key) String() string { return k.Table + ":" + k.PK }

// ParseKey reads the wire form table:pk. The first colon divides; the pk may
// hold more of them.
func ParseKey(s string) (Key, error) {
	table, pk, ok := strings.Cut(s, ":")
	if !ok {
		return Key{}, errs.New(errs.Invalid, "invalid_key", "the key %q has no colon; a key is table:pk", s)
	}
	k := Key{table, pk}
	return k, k.Validate()
}

// Validate checks the rules for both parts of a key.
func (k Key) Validate() error {
	if err := ValidateTable(k.Table); err != nil {
		return err
	}
	switch {
	case k.PK == "":
		return errs.New(errs.Invalid, "invalid_key", "the primary key is empty; it needs 1 to %d bytes", maxPKBytes)
	case len(k.PK) > maxPKBytes:
		return errs.New(errs.Invalid, "invalid_key", "the primary key has %d bytes; at most %d are allowed", len(k.PK), maxPKBytes)
	case !utf8.ValidString(k.PK):
		return errs.New(errs.Invalid, "invalid_key", "the primary key isn't valid UTF-8")
	case strings.ContainsFunc(k.PK, unicode.IsControl):
		return errs.New(errs.Invalid, "invalid_key", "the primary key holds a control character")
	}
	return nil
}

// ValidateTable checks the rules for a table's name.
func ValidateTable(name string) error {
	if !tableName.MatchString(name) {
		return errs.New(errs.Invalid, "invalid_table",
			"%q is no table name; it must match [A-Za-z_][A-Za-z0-9_-]{0,63}", name)
	}
	return nil
}

// Entity is one stored JSON object. Doc is the caller's to keep.
type Entity struct {
	Key Key
	// Version starts at 1 and grows by one with each write.
	Version   uint64
	UpdatedAt time.Time
	// Doc is the object as compact JSON; numbers are written as they came in.
	Doc []byte
}

// OpKind is what an Op does.
type OpKind uint8

const (
	// OpPut creates or replaces an entity.
	OpPut OpKind = iota
	// OpPatch applies an RFC 7396 merge patch to an existing entity.
	OpPatch
	// OpDelete removes an entity.
	OpDelete
)

// Op is one write.
type Op struct {
	Kind OpKind
	Key  Key
	// Doc is the entity for OpPut, the patch for OpPatch. Its memory isn't kept.
	Doc []byte
	// IfVersion makes the op fail with Precondition unless the entity has this
	// version. Absent entities have none.
	IfVersion *uint64
	// IfAbsent makes an OpPut fail with Precondition if the entity exists.
	IfAbsent bool
}

// OpResult is the outcome of one Op.
type OpResult struct {
	Key Key
	// Version is the entity's new version; for a delete the last one it had.
	Version uint64
	// Created is set when an OpPut made a new entity.
	Created bool
	// Err says why this op did nothing; nil on success.
	Err error
}
