package search

import (
	"context"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/projection"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
)

const (
	// pictured bounds the results that are drawn.
	pictured = 200
	// worthwhile is how many points make a picture.
	worthwhile = 4
	// maxFloats bounds the numbers that one picture is computed from: what two
	// thousand vectors of 1536 dimensions have.
	maxFloats = projection.MaxPoints * 1536
)

// pictureOf draws results with the query among them.
func (s *Search) pictureOf(ctx context.Context, req engine.SearchRequest, def schema.IndexDef, hits []engine.SearchHit, missed map[string]bool) (components.Scatter, string, error) {
	if len(hits) < worthwhile-1 {
		return components.Scatter{}, "", nil
	}
	var pks []string
	if req.Key != nil {
		pks = append(pks, req.Key.PK)
	}
	for _, h := range hits[:min(len(hits), pictured)] {
		pks = append(pks, h.Key.PK)
	}
	vectors, err := s.db.Vectors(ctx, engine.VectorsRequest{Table: req.Table, Column: req.Column, PKs: pks, Return: engine.ReturnKeys})
	if err != nil {
		return components.Scatter{}, "", err
	}
	plot := components.Scatter{ID: "picture", Title: "The results and the query, projected to the plane", Groups: []string{"Result", "Query"}}
	if len(missed) > 0 {
		plot.Groups = append(plot.Groups, "Missed")
	}
	var raw [][]float32
	for _, v := range vectors {
		p := pointOf(v)
		switch {
		case req.Key != nil && v.Key.PK == req.Key.PK:
			p.Group, p.Marked = 1, true
		case missed[v.Key.PK]:
			p.Group = 2
		}
		plot.Points, raw = append(plot.Points, p), append(raw, v.Vector)
	}
	if req.Key == nil {
		plot.Points = append(plot.Points, components.ScatterPoint{Label: "Query", Group: 1, Marked: true})
		raw = append(raw, req.Vectors[0])
	}
	explained, err := project(ctx, &plot, raw, def)
	return plot, explained, err
}

// pointOf is a vector that leads to its entity.
func pointOf(v engine.StoredVector) components.ScatterPoint {
	path, query := components.EntityPath(v.Key)
	return components.ScatterPoint{Label: v.Key.PK, Path: path, Query: query}
}

// project places the points of a plot, and says what its axes show.
func project(ctx context.Context, plot *components.Scatter, vectors [][]float32, def schema.IndexDef) (string, error) {
	plane, err := projection.PCA(ctx, vectors, def.Vector.Metric == cosine)
	if err != nil {
		return "", err
	}
	for i, p := range plane.Points {
		plot.Points[i].X, plot.Points[i].Y = p.X, p.Y
	}
	return "The two directions in which these vectors differ most show " + format.Percent(plane.Explained[0]+plane.Explained[1]) +
		" of their variance (" + format.Percent(plane.Explained[0]) + " across, " + format.Percent(plane.Explained[1]) + " up).", nil
}
