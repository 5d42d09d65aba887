package schema

import (
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// Bounds of a survey: what a person can look at, and what hostile documents may
// cost.
const (
	maxSurveyColumns  = 500
	maxSurveyDepth    = 8
	maxSurveyElements = 64
	maxSurveyDistinct = 4096
	maxSurveyExample  = 200
)

// ColumnSurvey is what a Survey has seen at one path.
type ColumnSurvey struct {
	Path string
	// Entities is how many documents have the path.
	Entities int
	// Values by the kind they have; elements of arrays count one by one, up to a
	// bound for each array.
	Nulls, Bools, Numbers, Strings, Objects int
	// Arrays is how many of the documents have an array there.
	Arrays int
	// Distinct is how many different bools, numbers and strings there were, as far
	// as they were counted.
	Distinct int
	// Longest is the length of the longest string, in bytes.
	Longest int
	// Vectors is how many documents have a vector of two or more numbers there, and
	// Dimension the length that all of these have, 0 if it differs.
	Vectors, Dimension int
	// Points is how many documents have a geographic point there, Times how many a
	// time as RFC 3339 text or a number that is one of this century in unix seconds.
	Points, Times int
	// Example is one of the values as JSON, nil if all were long.
	Example []byte
}

// Survey goes over documents and notes which columns they have and what stands
// there. The zero value is ready; it is for one goroutine.
type Survey struct {
	// Documents is how many were added; Truncated says that there were more columns
	// than are noted.
	Documents int
	Truncated bool

	columns map[string]*surveyed
	seed    maphash.Seed
}

type surveyed struct {
	ColumnSurvey
	distinct map[uint64]struct{}
	// last is the document that was counted last.
	last int
}

// Add notes the columns of a document that ValidateDocument accepted.
func (s *Survey) Add(doc []byte) {
	if s.columns == nil {
		s.columns = map[string]*surveyed{}
		s.seed = maphash.MakeSeed()
	}
	s.Documents++
	c := cursor{text: doc}
	s.object(&c, "", 0)
}

// Columns are the columns seen, those that most documents have first.
func (s *Survey) Columns() []ColumnSurvey {
	out := make([]ColumnSurvey, 0, len(s.columns))
	for _, c := range s.columns {
		column := c.ColumnSurvey
		column.Distinct = len(c.distinct)
		column.Dimension = max(column.Dimension, 0)
		out = append(out, column)
	}
	slices.SortFunc(out, func(a, b ColumnSurvey) int {
		if a.Entities != b.Entities {
			return b.Entities - a.Entities
		}
		return strings.Compare(a.Path, b.Path)
	})
	return out
}

// object goes over the members of the object under the cursor.
func (s *Survey) object(c *cursor, prefix string, depth int) {
	for quoted := c.member(true); quoted != nil; quoted = c.member(false) {
		value := c.value()
		name, ok := unquote(quoted)
		// A name with a dot in it can't be named, an empty one neither.
		if !ok || len(name) == 0 || strings.IndexByte(string(name), '.') >= 0 || len(prefix)+len(name) > MaxPathBytes {
			continue
		}
		s.value(value, prefix+string(name), depth)
	}
}

// value notes what stands at a path and goes on below it.
func (s *Survey) value(raw []byte, path string, depth int) {
	column := s.column(path)
	if column == nil || len(raw) == 0 {
		return
	}
	first := column.last != s.Documents
	if first {
		column.last = s.Documents
		column.Entities++
		if _, ok := point(raw); ok {
			column.Points++
		}
	}
	switch raw[0] {
	case '{':
		column.note(s, raw)
		if v, err := parseBase64(raw); first && err == nil {
			column.noteVector(len(v))
			return
		}
		s.descend(raw, path, depth)
	case '[':
		if first {
			column.Arrays++
			column.noteVector(countNumbers(raw))
		}
		s.array(column, raw, path, depth)
	default:
		column.note(s, raw)
	}
}

func (s *Survey) descend(raw []byte, path string, depth int) {
	if depth < maxSurveyDepth {
		c := cursor{text: raw}
		s.object(&c, path+".", depth+1)
	}
}

// array notes the first elements of an array: they are the column's values.
func (s *Survey) array(column *surveyed, raw []byte, path string, depth int) {
	c := cursor{text: raw}
	n := 0
	for ok := c.element(true); ok && n < maxSurveyElements; ok = c.element(false) {
		element := c.value()
		n++
		switch {
		case len(element) == 0:
		case element[0] == '{':
			column.note(s, element)
			s.descend(element, path, depth)
		case element[0] == '[':
			column.Objects++
		default:
			column.note(s, element)
		}
	}
}

// column is the one at a path; nil if there are too many.
func (s *Survey) column(path string) *surveyed {
	c := s.columns[path]
	if c != nil {
		return c
	}
	if len(s.columns) == maxSurveyColumns {
		s.Truncated = true
		return nil
	}
	c = &surveyed{ColumnSurvey: ColumnSurvey{Path: path}, distinct: map[uint64]struct{}{}}
	s.columns[path] = c
	return c
}

// note counts a value that isn't an array.
func (c *surveyed) note(s *Survey, raw []byte) {
	v := scalar(raw)
	switch v.kind {
	case KindNull:
		c.Nulls++
		return
	case KindBool:
		c.Bools++
	case KindNumber:
		c.Numbers++
	case KindString:
		c.Strings++
		c.Longest = max(c.Longest, len(v.str))
	default:
		c.Objects++
		return
	}
	if c.Example == nil && len(raw) <= maxSurveyExample {
		c.Example = slices.Clone(raw)
	}
	if isTime(v) {
		c.Times++
	}
	if len(c.distinct) < maxSurveyDistinct {
		c.distinct[maphash.Bytes(s.seed, v.AppendTerm(nil))] = struct{}{}
	}
}

// isTime says whether a value may be a time as a ttl index takes them.
func isTime(v Value) bool {
	const from, to = 946_684_800, 4_102_444_800 // the years 2000 to 2100
	switch v.kind {
	case KindNumber:
		return from <= v.Float() && v.Float() < to
	case KindString:
		_, err := time.Parse(time.RFC3339Nano, v.str)
		return err == nil
	}
	return false
}

// countNumbers is the length of an array of numbers, 0 for any other.
func countNumbers(raw []byte) int {
	n := 0
	c := cursor{text: raw}
	for ok := c.element(true); ok; ok = c.element(false) {
		element := c.value()
		if len(element) == 0 || element[0] != '-' && (element[0] < '0' || element[0] > '9') {
			return 0
		}
		n++
	}
	return n
}

// noteVector counts a vector of n numbers. Dimension is -1 once lengths differ.
func (c *surveyed) noteVector(n int) {
	if n < 2 {
		return
	}
	c.Vectors++
	switch {
	case c.Vectors == 1:
		c.Dimension = n
	case c.Dimension != n:
		c.Dimension = -1
	}
}
