package checks

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// strict reads YAML into a type that has every key the file may have.
func strict(t *testing.T, name string, into any) {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, name)))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestPrometheusConfig holds that Prometheus scrapes the server under the name
// that the alerts use. That Prometheus accepts the file, promtool says.
func TestPrometheusConfig(t *testing.T) {
	var c struct {
		Global struct {
			ScrapeInterval     string `yaml:"scrape_interval"`
			EvaluationInterval string `yaml:"evaluation_interval"`
		}
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			MetricsPath   string                       `yaml:"metrics_path"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	strict(t, "prometheus/prometheus.yml", &c)
	if len(c.ScrapeConfigs) != 1 || len(c.ScrapeConfigs[0].StaticConfigs) != 1 {
		t.Fatalf("%+v", c)
	}
	job := c.ScrapeConfigs[0]
	if job.JobName != jobName || job.MetricsPath != "/metrics" || job.StaticConfigs[0].Targets[0] != fmt.Sprintf("themis:%d", port) {
		t.Errorf("%+v", job)
	}
	if want := fmt.Sprintf(`up{job="%s"} == 0`, jobName); alerts(t)["THEMISDown"].Expr != want {
		t.Errorf("THEMISDown: %s, want %s", alerts(t)["THEMISDown"].Expr, want)
	}
	if len(c.RuleFiles) != 1 || c.RuleFiles[0] != "/etc/prometheus/alerts.yml" {
		t.Errorf("rule_files: %v", c.RuleFiles)
	}
}

// TestPromtool lets Prometheus's own tool check its configuration and the rules.
func TestPromtool(t *testing.T) {
	promtool := tool(t, "promtool")
	dir := t.TempDir()
	rules := filepath.Join(dir, "alerts.yml")
	write(t, rules, read(t, "prometheus/alerts.yml"))
	file := filepath.Join(dir, "prometheus.yml")
	write(t, file, bytes.ReplaceAll(read(t, "prometheus/prometheus.yml"), []byte("/etc/prometheus/alerts.yml"), []byte(rules)))
	succeeds(t, promtool, "check", "config", file)
}

// TestGrafana holds that the provisioning finds the dashboards, and the
// dashboards their data source.
func TestGrafana(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool `yaml:"isDefault"`
			Editable                     bool
		}
	}
	strict(t, "grafana/provisioning/datasources/prometheus.yml", &sources)
	if len(sources.Datasources) != 1 {
		t.Fatalf("%+v", sources)
	}
	source := sources.Datasources[0]
	if source.URL != "http://prometheus:9090" || source.Type != "prometheus" || source.Access != "proxy" {
		t.Errorf("%+v", source)
	}
	want := datasource{source.Type, source.UID}
	uids := map[string]bool{}
	for file, d := range dashboards(t) {
		if d.UID == "" || d.Title == "" || uids[d.UID] || d.SchemaVersion == 0 {
			t.Errorf("%s: uid %q, title %q, schema %d", file, d.UID, d.Title, d.SchemaVersion)
		}
		uids[d.UID] = true
		if len(d.Templating.List) != 1 || d.Templating.List[0].Datasource != want || d.Templating.List[0].Definition != "label_values(vccdb_ready, instance)" {
			t.Errorf("%s: %+v", file, d.Templating)
		}
		for i, p := range d.Panels {
			checkPanel(t, file, p, want)
			for _, other := range d.Panels[:i] {
				a, b := p.GridPos, other.GridPos
				if p.ID == other.ID || a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: %s and %s have one id or place", file, p.Title, other.Title)
				}
			}
		}
	}
}

func checkPanel(t *testing.T, file string, p panel, source datasource) {
	t.Helper()
	if p.Title == "" || p.Description == "" || p.Datasource != source || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
		t.Errorf("%s: panel %d: %+v", file, p.ID, p)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if target.Datasource != source || refs[target.RefID] || !strings.Contains(target.Expr, `instance=~"$instance"`) {
			t.Errorf("%s: %s: %+v", file, p.Title, target)
		}
		refs[target.RefID] = true
	}
}
