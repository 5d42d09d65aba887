package query

import "testing"

func TestText(t *testing.T) {
	for _, c := range []struct{ filter, text, shape string }{
		{`{"and":[{"column":"year","op":"lt","value":1968},{"column":"tags","value":"classic"}]}`,
			`year < 1968 and tags = "classic"`, `year < ? and tags = ?`},
		{`{"or":[{"column":"a","op":"in","value":[2,1]},{"and":[{"column":"b","op":"exists"},{"not":{"column":"c","op":"prefix","value":"x"}}]}]}`,
			`a in [1,2] or (b exists and not (c starts with "x"))`, `a in ? or (b exists and not (c starts with ?))`},
		{`{"column":"a","op":"between","value":[1,2.5]}`, `a between 1 and 2.5`, `a between ?`},
		{`{"column":"a.b","op":"exists","value":false}`, `a.b is missing`, `a.b is missing`},
		{`{"column":"at","op":"geo_radius","value":{"lat":52.5,"lon":13,"radius_m":1000}}`, `at within 1000 m of 52.5, 13`, `at within ?`},
		{`{"column":"at","op":"geo_box","value":{"min_lat":1,"min_lon":2,"max_lat":3,"max_lon":4}}`, `at inside 1, 2 to 3, 4`, `at inside ?`},
		{`{"column":"a","op":"nin","value":[]}`, `a not in []`, `a not in ?`},
		{`{"column":"a","op":"contains","value":"<b>"}`, `a contains "<b>"`, `a contains ?`},
	} {
		e := mustParse(t, c.filter)
		if got := e.Text(); got != c.text {
			t.Errorf("%s\nas text  %s\nwant     %s", c.filter, got, c.text)
		}
		if got := e.Shape(); got != c.shape {
			t.Errorf("%s\nas shape %s\nwant     %s", c.filter, got, c.shape)
		}
	}
	var none *Expr
	if none.Text() != "" {
		t.Error("no filter isn't empty")
	}
}
