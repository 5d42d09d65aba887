package schema

import (
	"fmt"
	"strings"
	"testing"
)

func surveyOf(t *testing.T, docs ...string) map[string]ColumnSurvey {
	t.Helper()
	var s Survey
	for _, text := range docs {
		doc, err := ValidateDocument([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s.Add(doc)
	}
	out := map[string]ColumnSurvey{}
	for _, c := range s.Columns() {
		c.Example = nil
		out[c.Path] = c
	}
	return out
}

func TestSurvey(t *testing.T) {
	have := surveyOf(t,
		`{"name":"a","n":1,"tags":["x","y"],"address":{"city":"Rome","at":{"lat":41.9,"lon":12.5}},"v":[0.5,1,-2],"dotted.name":1,"at":"2026-01-02T03:04:05Z"}`,
		`{"name":"b","n":1.0,"tags":["x",null],"address":{"city":"Oslo"},"v":[1,2,3],"mixed":true,"at":1700000000}`,
		`{"name":"b","n":null,"tags":[],"items":[{"sku":"1"},{"sku":"2","price":3}],"v":{"b64":"AACAPwAAAEAAAEBA"},"mixed":"x","w":[1,2]}`,
		`{"w":[1,2,3]}`,
	)
	want := map[string]ColumnSurvey{
		"name":           {Entities: 3, Strings: 3, Distinct: 2, Longest: 1},
		"n":              {Entities: 3, Numbers: 2, Nulls: 1, Distinct: 1},
		"tags":           {Entities: 3, Arrays: 3, Strings: 3, Nulls: 1, Distinct: 2, Longest: 1},
		"address":        {Entities: 2, Objects: 2},
		"address.city":   {Entities: 2, Strings: 2, Distinct: 2, Longest: 4},
		"address.at":     {Entities: 1, Objects: 1, Points: 1},
		"address.at.lat": {Entities: 1, Numbers: 1, Distinct: 1},
		"address.at.lon": {Entities: 1, Numbers: 1, Distinct: 1},
		"v":              {Entities: 3, Arrays: 2, Numbers: 6, Objects: 1, Distinct: 5, Vectors: 3, Dimension: 3, Points: 2},
		"w":              {Entities: 2, Arrays: 2, Numbers: 5, Distinct: 3, Vectors: 2, Points: 2},
		"mixed":          {Entities: 2, Bools: 1, Strings: 1, Distinct: 2, Longest: 1},
		"at":             {Entities: 2, Strings: 1, Numbers: 1, Distinct: 2, Longest: 20, Times: 2},
		"items":          {Entities: 1, Arrays: 1, Objects: 2},
		"items.sku":      {Entities: 1, Strings: 2, Distinct: 2, Longest: 1},
		"items.price":    {Entities: 1, Numbers: 1, Distinct: 1},
	}
	for path, w := range want {
		w.Path = path
		if got := have[path]; fmt.Sprint(got) != fmt.Sprint(w) {
			t.Errorf("%s:\n got %+v\nwant %+v", path, got, w)
		}
		delete(have, path)
	}
	for path := range have {
		t.Errorf("unexpected column %q", path)
	}
}

// A hostile document costs a bounded number of columns, and none that no index
// could name.
func TestSurveyIsBounded(t *testing.T) {
	var s Survey
	var wide strings.Builder
	wide.WriteString(`{"":1,"` + strings.Repeat("x", MaxPathBytes+1) + `":2`)
	for i := range 2 * maxSurveyColumns {
		fmt.Fprintf(&wide, `,"c%d":[%s1]`, i, strings.Repeat(`{"d":`+fmt.Sprint(i)+`},`, 3))
	}
	wide.WriteString("}")
	s.Add([]byte(wide.String()))
	s.Add([]byte(strings.Repeat(`{"a":`, 60) + `1` + strings.Repeat(`}`, 60)))
	columns := s.Columns()
	if len(columns) != maxSurveyColumns || !s.Truncated || s.Documents != 2 {
		t.Errorf("%d columns, truncated %v", len(columns), s.Truncated)
	}
	for _, c := range columns {
		if _, err := ParsePath(c.Path); err != nil {
			t.Error(err)
		}
	}
}

func TestSurveyOrder(t *testing.T) {
	var s Survey
	s.Add([]byte(`{"b":1,"a":"` + strings.Repeat("x", 300) + `"}`))
	s.Add([]byte(`{"b":2,"c":1}`))
	var paths []string
	for _, c := range s.Columns() {
		paths = append(paths, c.Path+"="+string(c.Example))
	}
	if have := strings.Join(paths, " "); have != "b=1 a= c=1" {
		t.Errorf("got %s", have)
	}
}

func FuzzSurvey(f *testing.F) {
	f.Add(`{"a":[{"b":[1,[2]]}],"c":{"b64":"AAAA"},"d":[1.5,2]}`)
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := ValidateDocument([]byte(text))
		if err != nil {
			return
		}
		var s Survey
		s.Add(doc)
		for _, c := range s.Columns() {
			if c.Entities != 1 || c.Dimension < 0 {
				t.Errorf("%+v", c)
			}
		}
	})
}
