package search

import (
	"context"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/filterform"
	"github.com/vccdb/vccdb/console/projection"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
)

// mapRequest is the form of the map as it was filled in.
type mapRequest struct {
	Index, Size, Colour string
	Filter              filterform.Form
}

// defaultSize is how many vectors are drawn.
const defaultSize = 400

func parseMap(q url.Values) mapRequest {
	return mapRequest{
		Index: q.Get("index"), Size: strings.TrimSpace(q.Get("size")), Colour: strings.TrimSpace(q.Get("color")), Filter: filterform.Parse(q),
	}
}

// picture is a sample of an index, drawn.
type picture struct {
	Plot      components.Scatter
	Explained string
	// Dimension is that of the vectors; Fewer says that they were too long for as
	// many as were asked for.
	Dimension int
	Fewer     bool
}

// draw takes a sample and projects it.
func (s *Search) draw(ctx context.Context, r mapRequest, def schema.IndexDef) (*picture, error) {
	size, err := number(r.Size, "size", defaultSize, projection.MaxPoints)
	if err != nil {
		return nil, err
	}
	filter, err := r.Filter.Expr()
	if err != nil {
		return nil, err
	}
	out := &picture{Dimension: def.Vector.Dimension}
	if most := maxFloats / max(1, out.Dimension); size > most {
		size, out.Fewer = max(most, worthwhile), true
	}
	req := engine.VectorsRequest{Table: def.Table, Column: def.Columns[0], Sample: size, Filter: filter, Fields: []string{r.Colour}}
	if r.Colour == "" {
		req.Return, req.Fields = engine.ReturnKeys, nil
	}
	vectors, err := s.db.Vectors(ctx, req)
	if err != nil {
		return nil, err
	}
	out.Plot = components.Scatter{ID: "map", Title: "A sample of " + def.Table + "." + def.Columns[0] + ", projected to the plane"}
	var raw [][]float32
	var values []jsontext.Value
	for _, v := range vectors {
		out.Plot.Points, raw = append(out.Plot.Points, pointOf(v)), append(raw, v.Vector)
		values = append(values, valueAt(v.Doc, r.Colour))
	}
	if r.Colour != "" {
		var of []int
		out.Plot.Groups, of = groups(values)
		for i := range out.Plot.Points {
			out.Plot.Points[i].Group = of[i]
		}
	}
	out.Explained, err = project(ctx, &out.Plot, raw, def)
	return out, err
}

// valueAt is the value at a dotted path of a document that was reduced to it; nil
// if there is none.
func valueAt(doc []byte, path string) jsontext.Value {
	value := jsontext.Value(doc)
	for name := range strings.SplitSeq(path, ".") {
		var found jsontext.Value
		components.EachMember(value, func(member string, v jsontext.Value) {
			if member == name {
				found = v.Clone()
			}
		})
		if found == nil {
			return nil
		}
		value = found
	}
	return value
}
