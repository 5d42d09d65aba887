package checks

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// zero is when the tests' scrapes begin; no clock is read.
var zero = time.Unix(1_800_000_000, 0)

// database is what Prometheus would have stored. It implements
// storage.Queryable and storage.Querier.
type database struct {
	storage.LabelQuerier
	series map[string]*promql.Series
}

func newDatabase() *database { return &database{series: map[string]*promql.Series{}} }

// add stores one sample.
func (d *database) add(metric labels.Labels, at time.Time, value float64) {
	s := d.series[metric.String()]
	if s == nil {
		s = &promql.Series{Metric: metric}
		d.series[metric.String()] = s
	}
	s.Floats = append(s.Floats, promql.FPoint{T: at.UnixMilli(), F: value})
}

// scrape stores the samples of an answer of /metrics, with the labels that
// Prometheus adds.
func (d *database) scrape(t *testing.T, body string, at time.Time) {
	t.Helper()
	p, err := textparse.New([]byte(body), "text/plain", nil, textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	own := []labels.Label{{Name: "job", Value: jobName}, {Name: "instance", Value: "themis:8765"}}
	with := func(l labels.Labels) labels.Labels {
		b := labels.NewBuilder(l)
		for _, label := range own {
			b.Set(label.Name, label.Value)
		}
		return b.Labels()
	}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var l labels.Labels
		p.Labels(&l)
		_, _, value := p.Series()
		d.add(with(l), at, value)
	}
	d.add(with(labels.FromStrings("__name__", "up")), at, 1)
}

// matching returns the series that all matchers accept, in order of their labels.
func (d *database) matching(matchers []*labels.Matcher) []*promql.Series {
	var found []*promql.Series
	for _, s := range d.series {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Metric.Get(m.Name)) }) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	return found
}

func (d *database) Querier(int64, int64) (storage.Querier, error) { return d, nil }
func (d *database) Close() error                                  { return nil }

func (d *database) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	return &seriesSet{series: d.matching(matchers), at: -1}
}

type seriesSet struct {
	series []*promql.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return promql.NewStorageSeries(*s.series[s.at]) }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// evaluate runs an expression as Prometheus would.
func (d *database) evaluate(t *testing.T, expression string, at time.Time) promql.Vector {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: 10 * time.Second, LookbackDelta: 5 * time.Minute, Parser: newParser()})
	defer engine.Close()
	query, err := engine.NewInstantQuery(t.Context(), d, nil, expression, at)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return slices.Clone(vector)
}

func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }
