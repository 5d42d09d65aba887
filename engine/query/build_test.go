package query

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
)

// TestManyOperandsOnComposite: more operands than prefixes are allowed still
// use the first column, and only that.
func TestManyOperandsOnComposite(t *testing.T) {
	var docs [][]byte
	for i := range 1000 {
		docs = append(docs, fmt.Appendf(nil, `{"a":%d,"b":%d}`, i, i%2))
	}
	table := newMemoryTable(t, docs, []*schema.IndexDef{{ID: 1, Type: schema.Composite, Columns: []string{"a", "b"}}})
	values := make([]string, maxPrefixes+1)
	for i := range values {
		values[i] = fmt.Sprint(i)
	}
	e := mustParse(t, fmt.Sprintf(`{"and":[{"column":"b","value":1},{"column":"a","op":"in","value":[%s]}]}`, strings.Join(values, ",")))
	plan, err := Build(context.Background(), e, nil, 0, table.indexes, table, Options{})
	if err != nil {
		t.Fatal(err)
	}
	scan, ok := plan.Root.(*TermScan)
	if !ok || len(scan.Ranges) != len(values) || plan.Residual.String() != `{"column":"b","op":"eq","value":1}` {
		t.Errorf("planned as %s", describePlan(plan))
	}
	if got := len(table.run(t, plan, nil, 0)); got != len(values)/2 {
		t.Errorf("%d rows", got)
	}
}

type failing struct{ memoryTable }

var errCount = errors.New("can't count")

func (f *failing) Count(context.Context, uint32, Range, int) (int, bool, error) {
	return 0, false, errCount
}

func TestBuildPassesErrorsOn(t *testing.T) {
	defs := []*schema.IndexDef{{ID: 1, Type: schema.Range, Columns: []string{"a"}}}
	for _, filter := range []string{`{"column":"a","value":1}`, `{"or":[{"column":"a","value":1},{"column":"a","value":2}]}`} {
		if _, err := Build(context.Background(), mustParse(t, filter), nil, 0, defs, &failing{}, Options{}); !errors.Is(err, errCount) {
			t.Errorf("%s: %v", filter, err)
		}
	}
	if _, err := Build(context.Background(), nil, []Order{{Column: "a"}}, 5, defs, &failing{}, Options{}); !errors.Is(err, errCount) {
		t.Errorf("an order: %v", err)
	}
}
