package query

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
)

func adviceText(all []Advice) string {
	var out []string
	for _, a := range all {
		out = append(out, string(a.Type)+" "+strings.Join(a.Columns, ","))
	}
	return strings.Join(out, "; ")
}

// TestAdvise: 1000 documents {"n":0.., "mod":n%10, "s":"..."}.
func TestAdvise(t *testing.T) {
	var docs [][]byte
	for i := range 2000 {
		docs = append(docs, fmt.Appendf(nil, `{"n":%d,"mod":%d,"big":%d,"s":"s%d","at":{"lat":%d,"lon":%d}}`, i, i%10, i%2, i%1000, i%80, i%170))
	}
	equality := func(column string) *schema.IndexDef {
		return &schema.IndexDef{ID: 1, Type: schema.Equality, Columns: []string{column}, State: schema.StateReady}
	}
	building := equality("s")
	building.State = schema.StateBuilding
	for _, c := range []struct {
		filter  string
		order   string
		limit   int
		indexes []*schema.IndexDef
		want    string
	}{
		{filter: `{"column":"s","value":"s7"}`, want: "equality s"},
		{filter: `{"column":"s","op":"in","value":["s7","s8"]}`, want: "equality s"},
		{filter: `{"column":"s","op":"prefix","value":"s77"}`, want: "range s"},
		{filter: `{"column":"n","op":"between","value":[3,5]}`, want: "range n"},
		{filter: `{"and":[{"column":"n","op":"gt","value":3},{"column":"n","op":"lt","value":9}]}`, want: "range n"},
		// Single values come before ranges, whatever the order of writing.
		{filter: `{"and":[{"column":"n","op":"gt","value":1900},{"column":"mod","value":3},{"column":"s","value":"s7"}]}`, want: "composite mod,s,n"},
		{filter: `{"column":"at","op":"geo_radius","value":{"lat":1,"lon":1,"radius_m":10}}`, want: "geo at"},
		{filter: `{"and":[{"column":"s","op":"contains","value":"77"},{"column":"mod","value":3}]}`, want: "equality mod"},
		{filter: `{"or":[{"column":"s","value":"s7"},{"column":"n","op":"lt","value":3}]}`, want: "equality s; range n"},
		{filter: `{"or":[{"column":"s","value":"s7"},{"column":"s","value":"s8"}]}`, want: "equality s"},
		// The branch that has an index needs no other.
		{filter: `{"or":[{"column":"s","value":"s7"},{"column":"n","op":"lt","value":3}]}`, indexes: []*schema.IndexDef{equality("s")}, want: "range n"},
		{filter: `{"column":"nothing","op":"exists"}`, want: "equality nothing"},

		// What no index can serve, or what would gain nothing.
		{filter: `{"column":"s","op":"ne","value":"s7"}`},
		{filter: `{"column":"s","op":"contains","value":"77"}`},
		{filter: `{"or":[{"column":"s","op":"contains","value":"77"},{"column":"n","value":3}]}`},
		{filter: `{"column":"big","value":1}`},
		{filter: `{"column":"s","value":"s7"}`, indexes: []*schema.IndexDef{building}},
		{filter: `{"column":"s","value":"s7"}`, indexes: []*schema.IndexDef{equality("s")}},
		{},

		// An index that leaves much to check.
		{filter: `{"and":[{"column":"big","value":1},{"column":"s","value":"s7"}]}`, indexes: []*schema.IndexDef{equality("big")}, want: "composite big,s"},
		{filter: `{"and":[{"column":"big","value":1},{"column":"s","op":"contains","value":"77"}]}`, indexes: []*schema.IndexDef{equality("big")}},
		{filter: `{"and":[{"column":"mod","value":1},{"column":"s","value":"s1"}]}`, indexes: []*schema.IndexDef{equality("mod")}}, // 200 entities are few
		{filter: `{"and":[{"column":"big","value":1},{"column":"s","value":"s7"}]}`, want: "composite big,s"},

		{order: `"n"`, limit: 10, want: "range n"},
		{order: `"n"`, limit: 1000},
		{order: `["n","s"]`, limit: 10},
		{order: `"n"`},
	} {
		run := Run{Limit: c.limit, Indexes: c.indexes}
		var err error
		if run.Order, err = ParseOrder([]byte(c.order)); err != nil {
			t.Fatal(err)
		}
		var filter *Expr
		if c.filter != "" {
			filter = mustParse(t, c.filter)
		}
		ready := slices.DeleteFunc(slices.Clone(c.indexes), func(def *schema.IndexDef) bool { return def.State != schema.StateReady })
		table := newMemoryTable(t, docs, ready)
		plan, err := Build(context.Background(), filter, run.Order, c.limit, ready, table, Options{})
		if err != nil {
			t.Fatal(err)
		}
		table.measure(t, plan, &run)
		got := Advise(plan, run)
		if adviceText(got) != c.want {
			t.Errorf("%s %s limit %d with %s: advised %q, want %q (%d read, %d passed)",
				c.filter, c.order, c.limit, describeIndexes(c.indexes), adviceText(got), c.want, run.Scanned, run.Passed)
		}
		for _, a := range got {
			if !strings.Contains(a.Reason, fmt.Sprintf(" %s entities were read ", grouped(run.Scanned))) {
				t.Errorf("the reason: %s", a.Reason)
			}
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345678: "12,345,678"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
}

// measure counts what the plan reads and finds without a limit.
func (m *memoryTable) measure(t *testing.T, plan *Plan, run *Run) {
	t.Helper()
	run.Scanned = len(m.docs)
	if _, walk := plan.Root.(*OrderScan); !walk {
		run.Scanned = len(m.ids(plan.Root))
	}
	run.Passed = len(m.run(t, plan, nil, 0))
}

// TestAdviceIsUsed: whatever is advised for a full scan, the planner uses.
func TestAdviceIsUsed(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	advised := 0
	for range 600 {
		var docs [][]byte
		for range 10 {
			doc, err := schema.ValidateDocument([]byte(g.doc()))
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, doc)
		}
		indexes := g.indexes()
		indexes = indexes[:min(len(indexes), 2)]
		filter, err := ParseFilter(nil, []byte(g.filter(2)))
		if err != nil {
			t.Fatal(err)
		}
		plan := planIn(t, docs, indexes, filter)
		if plan.Mode != ModeFullScan {
			continue
		}
		all := Advise(plan, Run{Indexes: indexes, Scanned: 1000, Passed: 1})
		for _, a := range all {
			advised++
			def := &schema.IndexDef{ID: uint32(len(indexes) + 1), Table: "t", Type: a.Type, Columns: a.Columns}
			if err := def.Validate(); err != nil {
				t.Fatalf("%s: advised %s: %v", filter, adviceText(all), err)
			}
			indexes = append(indexes, def)
		}
		if len(all) == 0 {
			continue
		}
		if again := planIn(t, docs, indexes, filter); again.Mode == ModeFullScan {
			t.Errorf("%s: still a full scan with %s", filter, describeIndexes(indexes))
		}
	}
	if advised < 100 {
		t.Errorf("only %d indexes were advised: the test has lost its force", advised)
	}
}

func planIn(t *testing.T, docs [][]byte, indexes []*schema.IndexDef, filter *Expr) *Plan {
	t.Helper()
	plan, err := Build(context.Background(), filter, nil, 0, indexes, newMemoryTable(t, docs, indexes), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
