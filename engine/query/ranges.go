package query

import (
	"bytes"
	"slices"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/storage/keys"
)

// Range is the encoded index terms in [Lo, Hi).
type Range struct {
	Lo, Hi []byte
}

func (r Range) empty() bool { return r.Hi != nil && bytes.Compare(r.Lo, r.Hi) >= 0 }

// prefixRange is all terms that begin with prefix. Terms are prefix-free, so for
// a whole term it is that term.
func prefixRange(prefix []byte) Range {
	return Range{Lo: prefix, Hi: keys.PrefixEnd(prefix)}
}

func pointRange(v schema.Value) Range { return prefixRange(v.AppendTerm(nil)) }

// kindRange is the terms of all values of v's type.
func kindRange(v schema.Value) Range {
	switch v.Kind() {
	case schema.KindBool:
		return Range{Lo: keys.AppendBool(nil, false), Hi: keys.PrefixEnd(keys.AppendBool(nil, true))}
	case schema.KindNumber:
		return prefixRange([]byte{byte(keys.Number)})
	case schema.KindString:
		return prefixRange(keys.AppendStringPrefix(nil, ""))
	default:
		return pointRange(v)
	}
}

// anyRange is the terms of everything that is present.
func anyRange() Range {
	return Range{Lo: keys.AppendNull(nil), Hi: keys.PrefixEnd(keys.AppendObject(nil))}
}

// indexable says whether the predicate is about one value being in certain
// ranges of terms.
func (p *Predicate) indexable() bool {
	switch p.Op {
	case Eq, In, Lt, Lte, Gt, Gte, Between, Prefix:
		return true
	case Exists:
		return p.Value.Bool()
	case Contains:
		return p.Value.Kind() != schema.KindString
	}
	return false
}

func (p *Predicate) geo() bool { return p.Op == GeoRadius || p.Op == GeoBox }

// positive says whether only documents that have the column match.
func (p *Predicate) positive() bool {
	return p.indexable() || p.geo() || p.Op == Contains
}

// points says whether each of the predicate's ranges is one value.
func (p *Predicate) points() bool { return p.Op == Eq || p.Op == In || p.Op == Contains }

// ranges are the terms of the values that match an indexable predicate, exactly:
// ascending, disjoint, none empty. No ranges: nothing matches.
func (p *Predicate) ranges() []Range {
	var r Range
	switch p.Op {
	case Eq, Contains:
		r = pointRange(p.Value)
	case In:
		points := make([]Range, len(p.Values))
		for i, v := range p.Values {
			points[i] = pointRange(v)
		}
		return points
	case Between:
		r = Range{Lo: pointRange(p.Values[0]).Lo, Hi: pointRange(p.Values[1]).Hi}
	case Prefix:
		r = prefixRange(keys.AppendStringPrefix(nil, p.Value.Text()))
	case Exists:
		r = anyRange()
	default:
		r = p.oneSided()
	}
	if r.empty() {
		return nil
	}
	return []Range{r}
}

func (p *Predicate) oneSided() Range {
	r, at := kindRange(p.Value), pointRange(p.Value)
	switch p.Op {
	case Lt:
		r.Hi = at.Lo
	case Lte:
		r.Hi = at.Hi
	case Gt:
		r.Lo = at.Hi
	case Gte:
		r.Lo = at.Lo
	}
	return r
}

// containsNull says whether null is among the values of the ranges.
func containsNull(ranges []Range) bool {
	null := keys.AppendNull(nil)
	return slices.ContainsFunc(ranges, func(r Range) bool {
		return bytes.Compare(r.Lo, null) <= 0 && bytes.Compare(null, r.Hi) < 0
	})
}

// intersectRanges expects and returns ascending disjoint ranges.
func intersectRanges(a, b []Range) []Range {
	var out []Range
	for len(a) > 0 && len(b) > 0 {
		r := Range{Lo: maxBytes(a[0].Lo, b[0].Lo), Hi: minBytes(a[0].Hi, b[0].Hi)}
		if !r.empty() {
			out = append(out, r)
		}
		if bytes.Compare(a[0].Hi, b[0].Hi) < 0 {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

func maxBytes(a, b []byte) []byte {
	if bytes.Compare(a, b) >= 0 {
		return a
	}
	return b
}

func minBytes(a, b []byte) []byte {
	if bytes.Compare(a, b) <= 0 {
		return a
	}
	return b
}

// mergeRanges joins neighbours in ascending disjoint ranges.
func mergeRanges(ranges []Range) []Range {
	var out []Range
	for _, r := range ranges {
		if n := len(out); n > 0 && bytes.Equal(out[n-1].Hi, r.Lo) {
			out[n-1].Hi = r.Hi
			continue
		}
		out = append(out, r)
	}
	return out
}

// underPrefixes are the ranges of composite terms that begin with one of the
// prefixes and go on with one of the ranges.
func underPrefixes(prefixes [][]byte, ranges []Range) []Range {
	out := make([]Range, 0, len(prefixes)*len(ranges))
	for _, prefix := range prefixes {
		for _, r := range ranges {
			out = append(out, Range{Lo: join(prefix, r.Lo), Hi: join(prefix, r.Hi)})
		}
	}
	return out
}

func join(a, b []byte) []byte { return append(slices.Clone(a), b...) }
