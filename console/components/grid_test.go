package components

import (
	"strings"
	"testing"
)

func TestGrid(t *testing.T) {
	g := NewGrid([][]byte{
		[]byte(`{"rare":1,"name":"<i>x</i>","n":12.50,"v":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}`),
		[]byte(`{"n":null,"name":"` + strings.Repeat("ü", 500) + `","tags":["a",1],"v":[1]}`),
		[]byte(`[1]`),
		[]byte(`{"n":true,"name":"","o":{"a":1}}`),
	}, 4, "o")
	if got := strings.Join(g.Columns, " "); got != "rare name n v" || g.Left != 1 {
		t.Errorf("columns %s, %d left", got, g.Left)
	}
	text := func(row, column int) string { return g.Rows[row][column].Text }
	if text(0, 1) != "<i>x</i>" || text(0, 2) != "12.50" || !g.Rows[0][2].Number || text(0, 3) != "16 numbers" {
		t.Errorf("%+v", g.Rows[0])
	}
	if text(1, 0) != "" || len(text(1, 1)) > maxCell+5 || text(1, 2) != "null" || text(1, 3) != "[1]" {
		t.Errorf("%+v", g.Rows[1])
	}
	if text(2, 1) != "" || text(3, 2) != "true" {
		t.Errorf("%+v", g.Rows[2:])
	}
	if g := NewGrid([][]byte{[]byte(`{"a":1,"b":"x","c":[1]}`), []byte(`{"a":2.5,"b":3,"c":[0.3173085367311007,0.04412768223683716,0.4339902251870]}`), []byte(`{}`)}, 3); !g.Numeric[0] || g.Numeric[1] || g.Numeric[2] || g.Rows[1][2].Text != "3 numbers" {
		t.Errorf("%+v", g)
	}
	if g := NewGrid(nil, 3); len(g.Columns) != 0 || len(g.Rows) != 0 {
		t.Errorf("%+v", g)
	}
}
