package checks

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// expression is a PromQL expression and the labels that its place relies on.
type expression struct {
	where, text string
	labels      []string
}

var (
	legendLabel     = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	annotationLabel = regexp.MustCompile(`\$labels\.(\w+)`)
)

func alertGroups(t *testing.T) *rulefmt.RuleGroups {
	t.Helper()
	groups, errs := rulefmt.Parse(read(t, "prometheus/alerts.yml"), false, model.UTF8Validation, newParser(), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return groups
}

func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	rules := map[string]rulefmt.Rule{}
	for _, group := range alertGroups(t).Groups {
		for _, rule := range group.Rules {
			if _, twice := rules[rule.Alert]; twice || rule.Alert == "" {
				t.Errorf("the rule %q is there twice, or isn't an alert", rule.Alert)
			}
			rules[rule.Alert] = rule
		}
	}
	return rules
}

// dashboard is the part of a Grafana dashboard that can go wrong unnoticed.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Definition string
			Datasource       datasource
		}
	}
	Panels []panel
}

type datasource struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               datasource
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct {
		Datasource datasource
		Expr       string
		LegendFormat,
		RefID string
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(deploy, "grafana/dashboards/*.json"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%v (%v)", files, err)
	}
	all := map[string]dashboard{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = d
	}
	return all
}

// resolve replaces the variables that Grafana replaces.
func resolve(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$instance", ".+").Replace(expr)
}

func expressions(t *testing.T) []expression {
	t.Helper()
	var all []expression
	for name, rule := range alerts(t) {
		e := expression{where: name, text: rule.Expr}
		for _, text := range rule.Annotations {
			for _, m := range annotationLabel.FindAllStringSubmatch(text, -1) {
				e.labels = append(e.labels, m[1])
			}
		}
		all = append(all, e)
	}
	for file, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				e := expression{where: file + ": " + p.Title, text: resolve(target.Expr)}
				for _, m := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
					e.labels = append(e.labels, m[1])
				}
				all = append(all, e)
			}
		}
	}
	return all
}

// TestExpressions evaluates every expression of the alerts and dashboards against
// two scrapes of a live server: each series it names is there, and with its
// thresholds turned into 0 or 1 it has a result, with the labels that are shown.
func TestExpressions(t *testing.T) {
	s := startServer(t, "storage.enable_wal_archival=true", "storage.wal_archive_path="+t.TempDir())
	s.load()
	d := newDatabase()
	start := zero
	// A server measures recall a minute after its start at the earliest.
	const measured = "# TYPE vccdb_vector_recall gauge\nvccdb_vector_recall{table=\"t\",column=\"v\"} 1\n"
	d.scrape(t, s.want(200, "GET", "/metrics", "")+measured, start)
	s.search()
	end := start.Add(time.Minute)
	d.scrape(t, s.want(200, "GET", "/metrics", "")+measured, end)

	all := expressions(t)
	if len(all) < 60 {
		t.Errorf("only %d expressions were found", len(all))
	}
	for _, e := range all {
		parsed, err := newParser().ParseExpr(e.text)
		if err != nil {
			t.Errorf("%s: %s: %v", e.where, e.text, err)
			continue
		}
		parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
			switch n := node.(type) {
			case *parser.VectorSelector:
				if len(d.matching(n.LabelMatchers)) == 0 {
					t.Errorf("%s: there is no series %s", e.where, n)
				}
				for _, m := range n.LabelMatchers {
					if !slices.ContainsFunc(d.matching(n.LabelMatchers), func(s *promql.Series) bool { return s.Metric.Has(m.Name) }) {
						t.Errorf("%s: %s has no label %s", e.where, n, m.Name)
					}
				}
			case *parser.BinaryExpr:
				if n.Op.IsComparisonOperator() {
					n.ReturnBool = true
				}
			}
			return nil
		})
		result := d.evaluate(t, parsed.String(), end)
		if len(result) == 0 {
			t.Errorf("%s: %s has no result", e.where, parsed)
		}
		for _, sample := range result {
			for _, label := range e.labels {
				if !sample.Metric.Has(label) {
					t.Errorf("%s: a result of %s has no label %s: %s", e.where, parsed, label, sample.Metric)
				}
			}
		}
	}
}

// TestAlertsFire holds that each alert is silent when all is well, and isn't when
// it is meant to speak.
func TestAlertsFire(t *testing.T) {
	const mib = 1 << 20
	// value is a metric's value at a time in seconds.
	type value func(seconds float64) float64
	constant := func(v float64) value { return func(float64) float64 { return v } }
	growing := func(perSecond float64) value { return func(s float64) float64 { return s * perSecond } }
	one := func(name string, v value) map[string]value { return map[string]value{name: v} }
	bucket := func(fast, slow float64) map[string]value {
		return map[string]value{
			`vccdb_request_duration_seconds_bucket{route="/query",le="0.1"}`:             growing(fast),
			`vccdb_request_duration_seconds_bucket{route="/query",le="2.5"}`:             growing(fast + slow),
			`vccdb_request_duration_seconds_bucket{route="/query",le="+Inf"}`:            growing(fast + slow),
			`vccdb_request_duration_seconds_bucket{route="/changefeed",le="0.1"}`:        constant(0),
			`vccdb_request_duration_seconds_bucket{route="/changefeed",le="+Inf"}`:       growing(100),
			`vccdb_request_duration_seconds_bucket{route="/jobs/:id/stream",le="+Inf"}`:  growing(100),
			`vccdb_request_duration_seconds_bucket{route="/changefeed/stream",le="0.1"}`: constant(0),
		}
	}
	cache := func(hit, miss float64) map[string]value {
		return map[string]value{"rocksdb_block_cache_hit": growing(hit), "rocksdb_block_cache_miss": growing(miss)}
	}
	disk := func(free value) map[string]value {
		return map[string]value{"vccdb_disk_free_bytes": free, "vccdb_disk_size_bytes": constant(100 * mib)}
	}
	stalls := func(stopped, rate float64) map[string]value {
		return map[string]value{"rocksdb_is_write_stopped": constant(stopped), "rocksdb_actual_delayed_write_rate_bytes": constant(rate)}
	}
	worker := func(wanted, up float64) map[string]value {
		return map[string]value{"vccdb_gpu_worker_wanted": constant(wanted), "vccdb_gpu_worker_up": constant(up)}
	}
	backup := func(age time.Duration) map[string]value { // as of the evaluation, see check
		return one("vccdb_last_backup_timestamp_seconds", constant(float64(zero.Add(6*time.Hour-age).Unix())))
	}
	tests := map[string]struct {
		silent, firing []map[string]value
		wait           time.Duration
	}{
		"THEMISDown":            {silent: []map[string]value{one(`up{job="themis"}`, constant(1)), one(`up{job="other"}`, constant(0))}, firing: []map[string]value{one(`up{job="themis"}`, constant(0))}, wait: time.Minute},
		"THEMISNotReady":        {silent: []map[string]value{one("vccdb_ready", constant(1))}, firing: []map[string]value{one("vccdb_ready", constant(0))}, wait: 5 * time.Minute},
		"THEMISHighErrorRate":   {silent: []map[string]value{one("vccdb_errors_total", growing(9))}, firing: []map[string]value{one("vccdb_errors_total", growing(11))}, wait: 5 * time.Minute},
		"THEMISSlowRequests":    {silent: []map[string]value{bucket(1000, 1)}, firing: []map[string]value{bucket(90, 10)}, wait: 10 * time.Minute},
		"THEMISLowCacheHitRate": {silent: []map[string]value{cache(81, 19), cache(0, 0)}, firing: []map[string]value{cache(79, 21)}, wait: 10 * time.Minute},
		"THEMISHighCompactionBacklog": {silent: []map[string]value{one("rocksdb_pending_compaction_bytes", constant(10<<30))},
			firing: []map[string]value{one("rocksdb_pending_compaction_bytes", constant(10<<30+1))}, wait: 15 * time.Minute},
		"THEMISWritesStalled": {silent: []map[string]value{stalls(0, 0)}, firing: []map[string]value{stalls(1, 0), stalls(0, 1000)}, wait: time.Minute},
		"THEMISWritesRefused": {silent: []map[string]value{one("vccdb_writable", constant(1))}, firing: []map[string]value{one("vccdb_writable", constant(0))}, wait: time.Minute},
		"THEMISArchiveLag":    {silent: []map[string]value{one("vccdb_wal_archive_lag_seconds", constant(300))}, firing: []map[string]value{one("vccdb_wal_archive_lag_seconds", constant(301))}, wait: 5 * time.Minute},
		"THEMISArchiveGap":    {silent: []map[string]value{one("vccdb_wal_archive_gaps_total", constant(1))}, firing: []map[string]value{one("vccdb_wal_archive_gaps_total", growing(.001))}},
		"THEMISBackupTooOld": {silent: []map[string]value{backup(25 * time.Hour), one("vccdb_last_backup_timestamp_seconds", constant(0))},
			firing: []map[string]value{backup(27 * time.Hour)}, wait: 10 * time.Minute},
		"THEMISScheduleFailing": {silent: []map[string]value{one(`vccdb_schedule_failing{kind="backup"}`, constant(0))},
			firing: []map[string]value{one(`vccdb_schedule_failing{kind="backup"}`, constant(1))}, wait: 30 * time.Minute},
		"THEMISBackgroundErrors": {silent: []map[string]value{one("rocksdb_background_errors", constant(3))}, firing: []map[string]value{one("rocksdb_background_errors", growing(.01))}},
		"THEMISDiskNearlyFull":   {silent: []map[string]value{disk(constant(11 * mib))}, firing: []map[string]value{disk(constant(9 * mib))}, wait: 5 * time.Minute},
		"THEMISDiskFullSoon": {silent: []map[string]value{disk(constant(9 * mib))},
			firing: []map[string]value{disk(func(s float64) float64 { return 20*mib - 1000*s })}, wait: time.Hour},
		"THEMISVectorsPending": {silent: []map[string]value{one("vccdb_vector_pending", constant(1e5))}, firing: []map[string]value{one("vccdb_vector_pending", constant(1e5+1))}, wait: 30 * time.Minute},
		"THEMISCheckpointsFailing": {silent: []map[string]value{one("vccdb_vector_checkpoint_failures_total", constant(3))},
			firing: []map[string]value{one("vccdb_vector_checkpoint_failures_total", growing(.01))}},
		"THEMISRecallLow":      {silent: []map[string]value{one("vccdb_vector_recall", constant(0.9))}, firing: []map[string]value{one("vccdb_vector_recall", constant(0.89))}, wait: time.Hour},
		"THEMISGPUWorkerDown":  {silent: []map[string]value{worker(0, 0), worker(1, 1)}, firing: []map[string]value{worker(1, 0)}, wait: 5 * time.Minute},
		"THEMISFeedReadersCut": {silent: []map[string]value{one("vccdb_changefeed_slow_readers_cut_total", constant(7))}, firing: []map[string]value{one("vccdb_changefeed_slow_readers_cut_total", growing(.01))}},
		"THEMISRequestsDenied": {silent: []map[string]value{one(`vccdb_responses_total{status="404"}`, growing(100)), one(`vccdb_responses_total{status="401"}`, growing(4))},
			firing: []map[string]value{one(`vccdb_responses_total{status="403"}`, growing(6))}, wait: 5 * time.Minute},
	}
	rules := alerts(t)
	for name, rule := range rules {
		test, ok := tests[name]
		if !ok {
			t.Errorf("%s has no test", name)
			continue
		}
		if time.Duration(rule.For) != test.wait {
			t.Errorf("%s fires after %v, want %v", name, rule.For, test.wait)
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
			t.Errorf("%s lacks a summary, a description or a severity", name)
		}
		check := func(metrics map[string]value, fires bool) {
			d, start := newDatabase(), zero
			for series, v := range metrics {
				metric, err := newParser().ParseMetric(series)
				if err != nil {
					t.Fatal(err)
				}
				metric = labels.NewBuilder(metric).Set("instance", "a").Labels()
				for s := 0.; s <= 6*3600; s += 60 {
					d.add(metric, start.Add(time.Duration(s)*time.Second), v(s))
				}
			}
			result := d.evaluate(t, rule.Expr, start.Add(6*time.Hour))
			if fires != (len(result) > 0) {
				t.Errorf("%s: %s = %v, want it to fire: %t", name, rule.Expr, result, fires)
			}
		}
		for _, metrics := range test.silent {
			check(metrics, false)
		}
		for _, metrics := range test.firing {
			check(metrics, true)
		}
	}
	for name := range tests {
		if _, ok := rules[name]; !ok {
			t.Errorf("there is no alert %s", name)
		}
	}
}
