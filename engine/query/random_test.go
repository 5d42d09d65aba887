package query

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
)

// randomScalars are few and treacherous, so that random filters hit random
// documents.
var randomScalars = []string{
	`null`, `true`, `false`, `0`, `-0.0`, `1`, `1.0`, `2`, `2.5`, `3`, `-1`, `1e2`, `100`,
	`9007199254740992`, `9007199254740993`, `9223372036854775807`, `-9223372036854775808`, `9223372036854775808`, `1e308`,
	`""`, `"a"`, `"ab"`, `"b"`, `"a\u0000"`, `"é"`, `"A"`,
}

var (
	valueColumns = []string{"a", "b", "c", "e", "d.x", "d.y"}
	geoColumns   = []string{"g", "d.g"}
)

type generator struct{ *rand.Rand }

func (g generator) one(list []string) string { return list[g.IntN(len(list))] }

func (g generator) value() string {
	switch g.IntN(10) {
	case 0, 1:
		items := make([]string, g.IntN(4))
		for i := range items {
			items[i] = g.value()
		}
		return "[" + strings.Join(items, ",") + "]"
	case 2:
		return g.one([]string{`{}`, `{"x":1}`})
	default:
		return g.one(randomScalars)
	}
}

// point is near one of a few places, one of them at the antimeridian, one at a
// pole.
func (g generator) place() (lat, lon float64) {
	places := [][2]float64{{52.5, 13.4}, {0, 179.9}, {89.9, 10}, {-33, -70}}
	p := places[g.IntN(len(places))]
	lat, lon = p[0]+g.NormFloat64()*0.2, p[1]+g.NormFloat64()*0.2
	if lon > 180 {
		lon -= 360
	}
	return max(-90, min(lat, 90)), lon
}

func (g generator) point() string {
	lat, lon := g.place()
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf(`[%v,%v]`, lon, lat)
	case 1:
		return fmt.Sprintf(`{"type":"Point","coordinates":[%v,%v]}`, lon, lat)
	case 2:
		return "[" + g.point() + "," + g.point() + "]"
	case 3:
		return g.one([]string{`"nowhere"`, `[1]`, `{"lat":91,"lon":0}`, `null`})
	default:
		return fmt.Sprintf(`{"lat":%v,"lon":%v}`, lat, lon)
	}
}

func (g generator) object(members map[string]func() string) string {
	var out []string
	for name, value := range members {
		if g.IntN(4) > 0 {
			out = append(out, fmt.Sprintf("%q:%s", name, value()))
		}
	}
	return "{" + strings.Join(out, ",") + "}"
}

func (g generator) doc() string {
	inner := func() string {
		return g.object(map[string]func() string{"x": g.value, "y": g.value, "g": g.point})
	}
	nested := func() string {
		switch g.IntN(4) {
		case 0:
			return "[" + inner() + "," + inner() + "]"
		case 1:
			return g.value()
		}
		return inner()
	}
	// Scalars only in c and e, so that their indexes are single-valued.
	scalar := func() string { return g.one(randomScalars) }
	return g.object(map[string]func() string{"a": g.value, "b": g.value, "c": scalar, "e": scalar, "d": nested, "g": g.point})
}

func (g generator) filter(depth int) string {
	if depth > 0 {
		switch g.IntN(5) {
		case 0, 1:
			return fmt.Sprintf(`{"and":[%s]}`, g.filters(depth))
		case 2:
			return fmt.Sprintf(`{"or":[%s]}`, g.filters(depth))
		case 3:
			return fmt.Sprintf(`{"not":%s}`, g.filter(depth-1))
		}
	}
	return g.leaf()
}

func (g generator) filters(depth int) string {
	children := make([]string, 1+g.IntN(4))
	for i := range children {
		children[i] = g.filter(depth - 1)
	}
	return strings.Join(children, ",")
}

func (g generator) leaf() string {
	column, scalar := g.one(valueColumns), g.one(randomScalars)
	switch op := g.one([]string{"eq", "eq", "", "ne", "in", "nin", "lt", "lte", "gt", "gte", "between", "exists", "prefix", "contains", "geo"}); op {
	case "":
		return fmt.Sprintf(`{"column":%q,"value":%s}`, column, scalar)
	case "in", "nin":
		values := make([]string, g.IntN(5))
		for i := range values {
			values[i] = g.one(randomScalars)
		}
		return fmt.Sprintf(`{"column":%q,"op":%q,"value":[%s]}`, column, op, strings.Join(values, ","))
	case "between":
		other := g.one(randomScalars)
		for naiveKind(decodeAny(other)) != naiveKind(decodeAny(scalar)) {
			other = g.one(randomScalars)
		}
		return fmt.Sprintf(`{"column":%q,"op":%q,"value":[%s,%s]}`, column, op, scalar, other)
	case "exists":
		return fmt.Sprintf(`{"column":%q,"op":%q%s}`, column, op, g.one([]string{"", `,"value":true`, `,"value":false`}))
	case "prefix":
		return fmt.Sprintf(`{"column":%q,"op":%q,"value":%s}`, column, op, g.one([]string{`""`, `"a"`, `"a\u0000"`, `"\u00e9"`}))
	case "geo":
		return g.geoLeaf()
	default:
		return fmt.Sprintf(`{"column":%q,"op":%q,"value":%s}`, column, op, scalar)
	}
}

// boundOn is a range condition that many values meet.
func (g generator) boundOn(column string) string {
	ops := []string{`"gte","value":-1`, `"gt","value":0`, `"lt","value":100`, `"lte","value":"b"`, `"gte","value":"a"`, `"between","value":[0,3]`, `"in","value":[1,2,3,"a"]`}
	return fmt.Sprintf(`{"column":%q,"op":%s}`, column, g.one(ops))
}

func (g generator) geoLeaf() string {
	lat, lon := g.place()
	if g.IntN(2) == 0 {
		return fmt.Sprintf(`{"column":%q,"op":"geo_radius","value":{"lat":%v,"lon":%v,"radius_m":%v}}`,
			g.one(geoColumns), lat, lon, []float64{0, 1000, 30_000, 21e6}[g.IntN(4)])
	}
	height, width := g.Float64()*0.5, g.Float64()*0.5
	maxLon := lon + width
	if maxLon > 180 {
		maxLon -= 360
	}
	return fmt.Sprintf(`{"column":%q,"op":"geo_box","value":{"min_lat":%v,"min_lon":%v,"max_lat":%v,"max_lon":%v}}`,
		g.one(geoColumns), lat, lon, min(90, lat+height), maxLon)
}

func (g generator) indexes() []*schema.IndexDef {
	var defs []*schema.IndexDef
	for range g.IntN(12) {
		def := &schema.IndexDef{ID: uint32(len(defs) + 1), Columns: []string{g.one(valueColumns)}, State: schema.StateReady}
		switch g.IntN(6) {
		case 0, 1:
			def.Type = schema.Range
		case 2:
			def.Type = schema.Equality
		case 3:
			def.Type = schema.Sparse
		case 4:
			def.Type = schema.Geo
			def.Columns = []string{g.one(geoColumns)}
		case 5:
			def.Type = schema.Composite
			def.Columns = nil
			for _, i := range g.Perm(len(valueColumns))[:2+g.IntN(2)] {
				def.Columns = append(def.Columns, valueColumns[i])
			}
		}
		defs = append(defs, def)
	}
	return defs
}

func (g generator) order() ([]Order, int) {
	if g.IntN(2) == 0 {
		return nil, 0
	}
	orders := []Order{{Column: g.one(valueColumns), Desc: g.IntN(2) == 0}}
	if g.IntN(4) == 0 {
		orders = append(orders, Order{Column: g.one(geoColumns), Desc: g.IntN(2) == 0})
	}
	return orders, g.IntN(8)
}

var tables = flag.Int("tables", 80, "how many random tables TestPlansAgainstNaive makes, with 60 filters each")

// TestPlansAgainstNaive is the package's promise: on random tables, indexes and
// filters, Match is the naive evaluation, and a plan's answer is Match's.
func TestPlansAgainstNaive(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	seen := map[string]int{}
	const filters = 60
	for range *tables {
		testRandomTable(t, g, filters, seen)
		if t.Failed() {
			return
		}
	}
	for _, kind := range []string{"*query.TermScan", "*query.Intersection", "*query.Union", "*query.Difference", "*query.OrderScan", "*query.FullScan", "*query.Empty",
		"exact", "residual", "bounded walk", "single-valued"} {
		if seen[kind] < 20 {
			t.Errorf("only %d plans with %s: the test has lost its force (%v)", seen[kind], kind, seen)
		}
	}
}

func testRandomTable(t *testing.T, g generator, filters int, seen map[string]int) {
	t.Helper()
	docs := make([][]byte, 40)
	decoded := make([]any, len(docs))
	for i := range docs {
		text := g.doc()
		doc, err := schema.ValidateDocument([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		docs[i], decoded[i] = doc, decodeAny(text)
	}
	table := newMemoryTable(t, docs, g.indexes())
	for range filters {
		table.entities = []int{0, 1, 1000, 1_000_000}[g.IntN(4)]
		table.skew = func() int { return []int{0, 1000, 1_000_000}[g.IntN(3)] }
		table.inMemory = func() bool { return g.IntN(3) == 0 }
		opt := Options{CountLimit: []int{0, 1, 5}[g.IntN(3)]}
		if g.IntN(2) == 0 {
			opt.SingleValued = func(index uint32) bool { return table.single[index] }
		}
		order, limit := g.order()
		opt.IDs = len(order) == 0 && limit == 0 && g.IntN(2) == 0
		filter := g.filter(3)
		if len(order) > 0 && g.IntN(2) == 0 {
			filter = fmt.Sprintf(`{"and":[%s,%s]}`, g.boundOn(order[0].Column), g.filter(g.IntN(2)))
		}
		testRandomQuery(t, table, decoded, filter, order, limit, opt, seen)
	}
}

func testRandomQuery(t *testing.T, table *memoryTable, decoded []any, filter string, order []Order, limit int, opt Options, seen map[string]int) {
	t.Helper()
	e, err := ParseFilter(nil, []byte(filter))
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	want := []uint32{}
	match, wire := e.Compile(), decodeAny(filter)
	for id, doc := range decoded {
		naive := naiveFilter(doc, wire)
		if got, err := match.Match(table.docs[id]); got != naive || err != nil {
			t.Fatalf("%s\non %s: Match says %v (%v)", filter, table.docs[id], got, err)
		}
		if naive {
			want = append(want, uint32(id))
		}
	}
	slices.SortFunc(want, func(a, b uint32) int {
		if naiveLess(order, decoded[a], decoded[b], a, b) {
			return -1
		}
		return 1
	})
	want = firstOf(want, limit)
	plan, err := Build(context.Background(), e, order, limit, table.indexes, table, opt)
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	if got := table.run(t, plan, order, limit); !slices.Equal(got, want) {
		t.Fatalf("%s\norder %v limit %d\nplan %s\nindexes %s\ngot  %v\nwant %v",
			filter, order, limit, describePlan(plan), describeIndexes(table.indexes), got, want)
	}
	note(seen, plan, opt)
}

func describeIndexes(defs []*schema.IndexDef) string {
	var out []string
	for _, def := range defs {
		out = append(out, fmt.Sprintf("%d:%s", def.ID, indexText(def)))
	}
	return strings.Join(out, " ")
}

func note(seen map[string]int, plan *Plan, opt Options) {
	seen[fmt.Sprintf("%T", plan.Root)]++
	if plan.Residual == nil {
		seen["exact"]++
	} else {
		seen["residual"]++
	}
	if walk, ok := plan.Root.(*OrderScan); ok && (walk.Range.Lo != nil || walk.Range.Hi != nil) {
		seen["bounded walk"]++
	}
	if opt.SingleValued != nil {
		seen["single-valued"]++
	}
	if _, err := json.Marshal(plan); err != nil {
		panic(err)
	}
}
