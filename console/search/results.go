package search

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/query"
	"github.com/vccdb/vccdb/engine/schema"
)

// results are what a search found, as the page shows it.
type results struct {
	Rows []row
	// Grid has the entities' values, a row for each of Rows.
	Grid components.Grid
	Took time.Duration
	Plan components.Plan
	// Advice are the indexes that the filter lacks.
	Advice []query.Advice
	// Compared is set when the same search was done exactly too.
	Compared *comparison
	// Curl is the body of the same call over REST.
	Curl string
	// Picture has no points if there are too few results for one.
	Picture components.Scatter
	// Explained is what the picture's axes show of the differences, in words.
	Explained string
}

// row is one result.
type row struct {
	Rank string
	Key  engine.Key
	// Score and Distance are as the metric has them; Share is the score on a scale
	// from nothing to the best there can be.
	Score, Distance string
	Share           float64
	// Missed results are among the true nearest, but weren't found.
	Missed bool
}

// comparison is what the exact search says about an approximate one.
type comparison struct {
	// Found of Wanted true nearest were found.
	Found, Wanted int
	Took          time.Duration
	// Exact says that the search itself had been an exact one.
	Exact bool
}

func (c *comparison) recall() float64 {
	if c.Wanted == 0 {
		return 1
	}
	return float64(c.Found) / float64(c.Wanted)
}

// cosine is the metric whose scores are 1 at best, and that sees only directions.
const cosine = "cosine"

// maxColumns bounds the columns of the results.
const maxColumns = 6

// run carries out a search, and the exact one if it is to be compared.
func (s *Search) run(ctx context.Context, r request, req engine.SearchRequest, def schema.IndexDef) (*results, error) {
	started := time.Now()
	found, err := s.db.Search(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &results{Took: time.Since(started), Plan: components.SearchPlan(found[0].Plan, len(found[0].Hits)), Curl: body(req)}
	if plan := found[0].Plan; plan.Filter != nil {
		out.Advice = plan.Filter.Advice
	}
	hits := found[0].Hits
	missed := map[string]bool{}
	if r.Compare {
		exact := req
		exact.Exact, exact.Explain = true, false
		started = time.Now()
		truth, err := s.db.Search(ctx, exact)
		if err != nil {
			return nil, err
		}
		out.Compared = compare(hits, truth[0].Hits)
		out.Compared.Took, out.Compared.Exact = time.Since(started), req.Exact || found[0].Plan.Mode == "exact"
		// Once more, because the first of the searches had to fetch what the others found
		// in memory.
		started = time.Now()
		if _, err := s.db.Search(ctx, req); err != nil {
			return nil, err
		}
		out.Took = min(out.Took, time.Since(started))
		if out.Compared.Found < out.Compared.Wanted {
			hits, missed = merge(hits, truth[0].Hits)
		}
	}
	out.fill(hits, missed, def)
	out.Picture, out.Explained, err = s.pictureOf(ctx, req, def, hits, missed)
	return out, err
}

// compare counts a hit as right if it is no farther than the farthest of the true
// nearest, so that ties are no errors.
func compare(hits, truth []engine.SearchHit) *comparison {
	c := &comparison{Wanted: len(truth)}
	if len(truth) == 0 {
		return c
	}
	farthest := truth[len(truth)-1].Distance
	for _, h := range hits {
		if h.Distance <= farthest && c.Found < c.Wanted {
			c.Found++
		}
	}
	return c
}

// merge puts the true nearest that weren't found where they belong among the hits.
func merge(hits, truth []engine.SearchHit) (all []engine.SearchHit, missed map[string]bool) {
	found := map[string]bool{}
	for _, h := range hits {
		found[h.Key.PK] = true
	}
	missed = map[string]bool{}
	for _, t := range truth {
		for len(hits) > 0 && hits[0].Distance <= t.Distance {
			all, hits = append(all, hits[0]), hits[1:]
		}
		if !found[t.Key.PK] {
			all, missed[t.Key.PK] = append(all, t), true
		}
	}
	return append(all, hits...), missed
}

func (out *results) fill(hits []engine.SearchHit, missed map[string]bool, def schema.IndexDef) {
	docs := make([][]byte, len(hits))
	best := 0.0
	for i, h := range hits {
		docs[i] = h.Doc
		best = max(best, float64(h.Score))
	}
	if def.Vector != nil && def.Vector.Metric == cosine {
		best = 1
	}
	out.Grid = components.NewGrid(docs, maxColumns, def.Columns[0])
	rank := 0
	for _, h := range hits {
		r := row{
			Key: h.Key, Score: figure(h.Score), Distance: figure(h.Distance), Missed: missed[h.Key.PK],
			Share: share(float64(h.Score), best),
		}
		if !r.Missed {
			rank++
			r.Rank = strconv.Itoa(rank)
		}
		out.Rows = append(out.Rows, r)
	}
}

func share(score, best float64) float64 {
	if best <= 0 || math.IsNaN(score) {
		return 0
	}
	return max(0, min(1, score/best))
}

// figure writes a score or a distance with four decimals, or digits where it is
// far from 1.
func figure(x float32) string {
	v := float64(x)
	if size := math.Abs(v); size != 0 && (size < 1e-3 || size >= 1e5) {
		return strconv.FormatFloat(v, 'g', 5, 32)
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

// summary is the results in a sentence.
func (out *results) summary() string {
	found := 0
	for _, r := range out.Rows {
		if !r.Missed {
			found++
		}
	}
	return format.Plural(found, "result", "results") + " in " + format.Duration(out.Took)
}
