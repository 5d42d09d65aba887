package schema

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/keys"
)

const (
	// MaxStringTermBytes bounds a string that is indexed, so that one term never
	// fills a RocksDB block by itself.
	MaxStringTermBytes = 8 << 10
	// MaxCompositeTerms bounds the combinations that one document puts into a
	// composite index.
	MaxCompositeTerms = 1000
)

// Terms are a document's entries in the index, sorted and without repetition,
// in memory of their own; none if the document isn't in the index. cols are the
// numbers of the definition's columns in x.
//
//	equality, range  one term per value; null and the object mark have one too,
//	                 so that the index knows which documents have the column
//	sparse           the same without null
//	composite        one term per combination of the columns' values, with the
//	                 missing mark for an absent column; none if all are absent
//	ttl              the expiry in unix milliseconds as a number
//	geo              the S2 leaf cell of each point, 8 bytes big-endian; values
//	                 that aren't points have no term
//	vector           none: vectors aren't terms
//
// Errors are Invalid: index_value_too_long, too_many_index_terms.
func (d *IndexDef) Terms(x *Extracted, cols []int) ([][]byte, error) {
	var t termList
	var err error
	switch d.Type {
	case Equality, Range:
		err = d.addValues(&t, x.Values(cols[0]), true)
	case Sparse:
		err = d.addValues(&t, x.Values(cols[0]), false)
	case Composite:
		err = d.addCombinations(&t, x, cols)
	case TTL:
		if at, ok := d.Expiry(x, cols[0]); ok {
			t.end(keys.AppendInt(t.buf, at))
		}
	case Geo:
		for _, p := range x.Points(cols[0]) {
			t.end(p.AppendTerm(t.buf))
		}
	}
	if err != nil {
		return nil, err
	}
	return t.sorted(), nil
}

// Collides says whether a unique index may hold the term only once. Terms with
// a null, an absent column or an object in them never collide: null is no
// value, and of an object only its presence is known.
func (d *IndexDef) Collides(term []byte) bool {
	for len(term) > 0 {
		v, rest, err := keys.Decode(term)
		if err != nil {
			return false
		}
		switch v.Kind {
		case keys.Null, keys.Missing, keys.Object:
			return false
		}
		term = rest
	}
	return true
}

// Expiry is the time, in unix milliseconds, from which the entity counts as
// expired under a ttl index: the time in its column (a number of unix seconds or
// an RFC 3339 string) plus TTLSeconds. Any other value, also an array, and a
// column inside an array of objects never expire.
func (d *IndexDef) Expiry(x *Extracted, col int) (unixMs int64, ok bool) {
	raw := x.Raw(col)
	if len(raw) == 0 || raw[0] == '[' {
		return 0, false
	}
	switch v := scalar(raw); v.kind {
	case KindNumber:
		return d.expiryAfter(v), true
	case KindString:
		at, err := time.Parse(time.RFC3339Nano, v.str)
		if err != nil {
			return 0, false
		}
		return at.UnixMilli() + d.TTLSeconds*1000, true
	}
	return 0, false
}

// expiryAfter saturates: a time beyond the end of int64 milliseconds is that end.
func (d *IndexDef) expiryAfter(seconds Value) int64 {
	const limit = math.MaxInt64/1000 - maxTTLSeconds
	if s, ok := seconds.Int(); ok && -limit <= s && s <= limit {
		return (s + d.TTLSeconds) * 1000
	}
	ms := math.Floor(seconds.Float()*1000) + float64(d.TTLSeconds)*1000
	switch {
	case ms >= math.MaxInt64:
		return math.MaxInt64
	case ms <= math.MinInt64:
		return math.MinInt64
	}
	return int64(ms)
}

func (d *IndexDef) addValues(t *termList, values []Value, nulls bool) error {
	for _, v := range values {
		if err := checkTermLength(d.Columns[0], v); err != nil {
			return err
		}
		if v.kind != KindNull || nulls {
			t.end(v.AppendTerm(t.buf))
		}
	}
	return nil
}

func (d *IndexDef) addCombinations(t *termList, x *Extracted, cols []int) error {
	present, combinations := false, 1
	for i, col := range cols {
		values := x.Values(col)
		present = present || len(values) > 0
		combinations *= max(1, len(values))
		if combinations > MaxCompositeTerms {
			return errs.Field("too_many_index_terms", columnPointer(d.Columns[i]),
				"the arrays in the columns %s give more than %d combinations for the composite index; the entity was not kept",
				strings.Join(d.Columns, ", "), MaxCompositeTerms)
		}
		for _, v := range values {
			if err := checkTermLength(d.Columns[i], v); err != nil {
				return err
			}
		}
	}
	if present {
		t.combine(x, cols, nil)
	}
	return nil
}

func checkTermLength(column string, v Value) error {
	if len(v.str) <= MaxStringTermBytes {
		return nil
	}
	return errs.Field("index_value_too_long", columnPointer(column),
		"the column %q is indexed and holds a string of %d bytes; an index takes at most %d; the entity was not kept",
		column, len(v.str), MaxStringTermBytes)
}

// columnPointer is the JSON pointer of a column inside an entity.
func columnPointer(column string) string {
	escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(column)
	return fmt.Sprintf("/%s", strings.ReplaceAll(escaped, ".", "/"))
}

// termList collects terms in one buffer.
type termList struct {
	buf  []byte
	ends []int
}

// end takes the buffer back with one more term at its end.
func (t *termList) end(buf []byte) {
	t.buf = buf
	t.ends = append(t.ends, len(buf))
}

// combine adds prefix followed by each combination of the columns' values.
func (t *termList) combine(x *Extracted, cols []int, prefix []byte) {
	if len(cols) == 0 {
		t.end(append(t.buf, prefix...))
		return
	}
	// The full slice expression keeps siblings from writing into each other.
	prefix = prefix[:len(prefix):len(prefix)]
	values := x.Values(cols[0])
	if len(values) == 0 {
		t.combine(x, cols[1:], keys.AppendMissing(prefix))
	}
	for _, v := range values {
		t.combine(x, cols[1:], v.AppendTerm(prefix))
	}
}

func (t *termList) sorted() [][]byte {
	if len(t.ends) == 0 {
		return nil
	}
	terms := make([][]byte, len(t.ends))
	start := 0
	for i, end := range t.ends {
		terms[i] = t.buf[start:end:end]
		start = end
	}
	if len(terms) == 1 {
		return terms
	}
	slices.SortFunc(terms, bytes.Compare)
	return slices.CompactFunc(terms, bytes.Equal)
}
