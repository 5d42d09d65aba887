package filterform_test

import (
	"net/url"
	"testing"

	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/internal/errs"
)

// nasty are texts that a value must come through unchanged.
var nasty = []string{`""`, `" a"`, `"null"`, `"1968"`, `"true"`, `"a, b"`, `"\"quoted\""`, `"[1]"`, `"{}"`, `"<script>alert('x')</script>"`,
	`"\u202eabc"`, `"ü\n\t"`, `"\"half"`, `"plain"`, `null`, `true`, `false`, `0`, `-1.5e300`, `9007199254740993`}

func TestRowsSayWhatTheFilterDoes(t *testing.T) {
	for _, a := range nasty {
		for _, b := range nasty {
			for _, filter := range []string{
				`{"column":"x.y","op":"eq","value":` + a + `}`,
				`{"and":[{"column":"x","op":"ne","value":` + a + `},{"column":"y","op":"lte","value":` + b + `}]}`,
				`{"or":[{"column":"x","op":"in","value":[` + a + `,` + b + `]},{"column":"y","op":"gt","value":` + b + `}]}`,
				`{"column":"x","op":"between","value":[` + a + `,` + a + `]}`,
			} {
				roundTrip(t, filter, true)
			}
		}
		if a[0] == '"' {
			roundTrip(t, `{"column":"x","op":"prefix","value":`+a+`}`, true)
			roundTrip(t, `{"column":"x","op":"contains","value":`+a+`}`, true)
		}
	}
	roundTrip(t, `{"column":"x","op":"exists","value":false}`, true)
	roundTrip(t, `{"column":"x","op":"nin","value":[]}`, true)
	roundTrip(t, `{"column":"x","op":"geo_radius","value":{"lat":52.5,"lon":-13.25,"radius_m":1000}}`, true)
	roundTrip(t, `{"column":"x","op":"geo_box","value":{"min_lat":1,"min_lon":2,"max_lat":3,"max_lon":4}}`, true)
	roundTrip(t, `{"column":"x","op":"contains","value":7}`, false)
	roundTrip(t, `{"not":{"column":"x","value":1}}`, false)
	roundTrip(t, `{"and":[{"column":"x","value":1},{"or":[{"column":"y","value":2},{"column":"z","value":3}]}]}`, false)
}

// roundTrip goes from a filter to the form, to a link, and back.
func roundTrip(t *testing.T, filter string, rows bool) {
	t.Helper()
	e, err := query.ParseFilter(nil, []byte(filter))
	if err != nil {
		t.Fatal(filter, err)
	}
	f := filterform.Of(e)
	if (len(f.Rows) > 0) != rows {
		t.Fatalf("%s has the rows %+v", filter, f.Rows)
	}
	q, err := url.ParseQuery(f.Values().Encode())
	if err != nil {
		t.Fatal(err)
	}
	back, err := filterform.Parse(q).Expr()
	if err != nil {
		t.Fatalf("%s became %+v: %v", filter, f, err)
	}
	if back.String() != e.String() {
		t.Fatalf("%s became %+v and then %s", e, f, back)
	}
}

func TestWhatPeopleType(t *testing.T) {
	for _, test := range []struct{ op, value, want string }{
		{"eq", "1968", `1968`},
		{"eq", `"1968"`, `"1968"`},
		{"eq", " classic ", `"classic"`},
		{"eq", "", `""`},
		{"eq", "true", `true`},
		{"prefix", "19", `"19"`},
		{"contains", "19", `"19"`},
		{"prefix", `"19 "`, `"19 "`},
		{"in", "a, 2,true,", `["a",2,true]`},
		{"in", `"a, b", c`, `["a, b","c"]`},
		{"in", `["x",1]`, `["x",1]`},
		{"in", `"half, c`, `["\"half","c"]`},
		{"between", "1950, 1970", `[1950,1970]`},
		{"exists", "", `true`},
		{"exists", "false", `false`},
		{"geo_radius", "52.5, 13.4, 2000", `{"lat":52.5,"lon":13.4,"radius_m":2000}`},
	} {
		f := filterform.Form{Rows: []filterform.Row{{"c", test.op, test.value}}}
		e, err := f.Expr()
		if err != nil {
			t.Errorf("%s %q: %v", test.op, test.value, err)
			continue
		}
		want, err := query.ParseFilter(nil, []byte(`{"column":"c","op":"`+test.op+`","value":`+test.want+`}`))
		if err != nil {
			t.Fatal(err)
		}
		if e.String() != want.String() {
			t.Errorf("%s %q is %s, not %s", test.op, test.value, e, want)
		}
	}
}

func TestWrongRowsAreNamed(t *testing.T) {
	f := filterform.Form{
		Rows: []filterform.Row{
			{"", "eq", "1"}, {"a", "eq", "1"}, {"b", "between", "1"}, {"c", "smells", "1"}, {"d", "eq", "[1]"}, {"e", "geo_radius", "here"},
			{"f", "match", "x"},
		},
		JSON: `{"and":[{"column":"x"}]}`,
	}
	_, err := f.Expr()
	if errs.KindOf(err) != errs.Invalid {
		t.Fatal(err)
	}
	for _, pointer := range []string{"/rows/0", "/rows/2/value", "/rows/3/op", "/rows/4/value", "/rows/5/value", "/rows/6/op", "/filter/and/0/value"} {
		if filterform.Problem(err, pointer) == "" {
			t.Errorf("nothing is said about %s: %v", pointer, err)
		}
	}
	if got := filterform.Problem(err, "/rows/1"); got != "" {
		t.Errorf("the right row is blamed: %s", got)
	}
}

func TestFormsAreRead(t *testing.T) {
	q := url.Values{
		filterform.ColumnField: {"a", "", "b", "c"}, filterform.OpField: {"eq", "eq", "lt"}, filterform.ValueField: {"1", "", "2", "3"},
		filterform.DropField: {"2"}, filterform.AddField: {"1"}, filterform.AnyField: {"1"},
	}
	f := filterform.Parse(q)
	if len(f.Rows) != 2 || f.Rows[0] != (filterform.Row{"a", "eq", "1"}) || f.Rows[1] != (filterform.Row{"c", "eq", "3"}) || !f.Any || f.More != 1 {
		t.Fatalf("%+v", f)
	}
	many := url.Values{}
	for range 1000 {
		many.Add(filterform.ColumnField, "a")
	}
	if n := len(filterform.Parse(many).Rows); n != 50 {
		t.Errorf("a form of 1000 rows gave %d", n)
	}
	if !(filterform.Form{}).Empty() || len((filterform.Form{Any: true}).Values()) != 0 {
		t.Error("an empty form isn't empty")
	}
}

// FuzzForm: whatever is typed gives a filter or an error, and the filter
// survives the way through a form.
func FuzzForm(f *testing.F) {
	for _, op := range []string{"eq", "in", "between", "prefix", "geo_radius", "geo_box", "exists", "x"} {
		f.Add("a.b", op, `"x, y", 1`, "")
	}
	f.Add("a", "eq", "1, 2, 3", `{"or":[{"column":"a","value":1}]}`)
	f.Fuzz(func(t *testing.T, column, op, value, filter string) {
		e, err := filterform.Form{Rows: []filterform.Row{{column, op, value}}, JSON: filter}.Expr()
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Fatal(err)
			}
			return
		}
		back, err := filterform.Of(e).Expr()
		if err != nil || back.String() != e.String() {
			t.Fatalf("%s became %v, %v", e, back, err)
		}
	})
}
