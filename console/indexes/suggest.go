package indexes

import (
	"slices"
	"strings"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
)

const (
	// most is the share of a column's values that decides what it holds.
	most = 0.9
	// sparseBelow is the share of entities below which a column is rare.
	sparseBelow = 0.2
	// distinctFrom is the sample from which values that all differ are identifiers.
	distinctFrom = 20
	// shortVector is the length from which numbers in a row are taken for a vector
	// whatever the column is called.
	shortVector = 8
	// longText is the length from which a text is nothing one filters by.
	longText = 500
	// maxSuggested bounds the columns shown.
	maxSuggested = 100
)

// column is what a sample says about a column, and the index that suits it.
type column struct {
	Path string
	// Share of the sampled entities that have it.
	Share float64
	// Holds says what stands there.
	Holds   string
	Example string
	// Type is the suggested index, empty for none; Why is a sentence either way.
	Type      schema.IndexType
	Why       string
	Dimension int
	// Indexed are the types of the indexes that the column has already.
	Indexed []string
}

// index is what the suggestion would make.
func (s column) index(table string) components.Index {
	return components.Index{Table: table, Columns: []string{s.Path}, Type: string(s.Type)}
}

// suggest turns a sample into suggestions, those first that suggest something.
func suggest(sample *engine.ColumnSample, infos []engine.IndexInfo) []column {
	var out []column
	geo := map[string]bool{}
	for i := range sample.Columns {
		seen := &sample.Columns[i]
		s := column{Path: seen.Path, Share: float64(seen.Entities) / float64(max(sample.Sampled, 1)), Example: string(seen.Example)}
		s.judge(seen)
		if s.Type == schema.Geo {
			geo[s.Path] = true
		}
		for n := range infos {
			if slices.Contains(infos[n].Columns, s.Path) {
				s.Indexed = append(s.Indexed, string(infos[n].Type))
			}
		}
		out = append(out, s)
	}
	for i := range out {
		at := strings.LastIndexByte(out[i].Path, '.')
		if at > 0 && geo[out[i].Path[:at]] {
			out[i].Type, out[i].Why = "", "Part of a point; the geo index of the point serves it."
		}
		if slices.Contains(out[i].Indexed, string(out[i].Type)) {
			out[i].Type, out[i].Why = "", "Indexed already."
		}
	}
	slices.SortStableFunc(out, func(a, b column) int { return rank(a) - rank(b) })
	return out[:min(len(out), maxSuggested)]
}

// rank puts vectors first, then whatever else is suggested, then the rest.
func rank(s column) int {
	switch s.Type {
	case schema.Vector:
		return 0
	case "":
		return 2
	}
	return 1
}

// judge says what a column holds and which index suits it.
func (s *column) judge(c *schema.ColumnSurvey) {
	scalars := c.Bools + c.Numbers + c.Strings
	all := scalars + c.Nulls + c.Objects
	mostly := func(n, of int) bool { return n > 0 && float64(n) >= most*float64(of) }
	switch {
	case mostly(c.Points, c.Entities) && (c.Arrays == 0 || named(c.Path, "geo", "location", "position", "coord", "point", "latlng", "lonlat")):
		s.Holds, s.Type, s.Why = "points", schema.Geo, "Points can be found by radius and box."
	case mostly(c.Vectors, c.Entities) && (c.Dimension >= shortVector || named(c.Path, "vec", "emb")):
		s.vector(c)
	case all == 0:
		s.Holds, s.Why = "empty lists", "There is nothing to index yet."
	case mostly(c.Objects, all):
		s.Holds, s.Why = "objects", "Index the columns inside it."
	case mostly(c.Nulls, all):
		s.Holds, s.Why = "null", "There is nothing to index yet."
	case mostly(c.Times, scalars):
		s.time(c)
	case mostly(c.Numbers, scalars):
		s.Holds, s.Type, s.Why = plural(c, "numbers"), schema.Range, "Numbers are compared and sorted by."
	case mostly(c.Strings, scalars):
		s.text(c)
	case mostly(c.Bools, scalars):
		s.Holds, s.Why = plural(c, "true or false"), "With two values an index spares little; it may help as part of a composite one."
	default:
		s.Holds, s.Type, s.Why = plural(c, "mixed values"), schema.Equality, "Values of several kinds can be found by equality."
	}
	if s.Type == schema.Equality && s.Share < sparseBelow {
		s.Type, s.Why = schema.Sparse, "Few entities have it: without null the index stays small."
	}
}

func (s *column) vector(c *schema.ColumnSurvey) {
	if c.Dimension == 0 {
		s.Holds, s.Why = "numbers in a row", "Their lengths differ; a vector index takes one length."
		return
	}
	s.Holds, s.Type, s.Dimension = "vectors of "+format.Count(c.Dimension), schema.Vector, c.Dimension
	s.Why = "Vectors of one length: search for the nearest needs this index."
}

func (s *column) time(c *schema.ColumnSurvey) {
	s.Holds = plural(c, "times")
	if named(c.Path, "expire", "expiry", "ttl", "valid_until", "delete_at") {
		s.Type, s.Why = schema.TTL, "By its name it says when an entity ends. A ttl index deletes entities."
		return
	}
	s.Type, s.Why = schema.Range, "Times are compared and sorted by."
}

func (s *column) text(c *schema.ColumnSurvey) {
	s.Holds = plural(c, "texts")
	switch {
	case c.Longest > schema.MaxStringTermBytes:
		s.Why = "Some texts are longer than an index takes."
	case c.Longest >= longText:
		s.Holds, s.Why = plural(c, "long texts"), "Long texts are rarely what one filters by."
	case c.Distinct >= distinctFrom && c.Distinct == c.Strings:
		s.Type, s.Why = schema.Equality, "All different: identifiers or names, found at once by equality or prefix."
	case c.Distinct == 1:
		s.Why = "There is one value only; an index would spare nothing."
	default:
		s.Type, s.Why = schema.Equality, "Texts are found by equality, one of several, or prefix."
	}
}

// plural adds that the values stand in lists.
func plural(c *schema.ColumnSurvey, what string) string {
	if float64(c.Arrays) >= most*float64(c.Entities) {
		return "lists of " + what
	}
	return what
}

// named says whether a column's last name has one of the parts.
func named(path string, parts ...string) bool {
	name := strings.ToLower(path[strings.LastIndexByte(path, '.')+1:])
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
}
