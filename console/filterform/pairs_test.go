package filterform_test

import (
	"net/url"
	"testing"

	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/console/view"
)

func TestPairsKeepRowsTogether(t *testing.T) {
	f := filterform.Form{Rows: []filterform.Row{{"a", "exists", ""}, {"b", "eq", ""}, {"c", "in", ""}, {"d", "lt", "4"}}, Any: true}
	want, err := f.Expr()
	if err != nil {
		t.Fatal(err)
	}
	link, err := url.Parse(view.WithQuery("search", f.Pairs()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := filterform.Parse(link.Query()).Expr()
	if err != nil || got.String() != want.String() {
		t.Errorf("%s became %s, %v", want, got, err)
	}
}
