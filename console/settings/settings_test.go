package settings

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server/config"
)

func TestMain(m *testing.M) { consoletest.Main(m) }

// site is the pages over a configuration.
type site struct {
	*consoletest.Site
	live *config.Live
	// file is the configuration's.
	file string
}

func open(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{file: filepath.Join(dir, "themis.json")}
	write(t, s.file, `{"storage": {"rocksdb_path": "`+dir+`"}, "logging": {"level": "warn"}}`)
	live, err := config.Open(config.Source{File: s.file, Set: []string{`server.api_keys=[{"key": "0123456789abcdef-s3cret", "role": "readonly", "name": "<b>n</b>"}]`}})
	if err != nil {
		t.Fatal(err)
	}
	s.live = live
	s.Site = consoletest.Serve(t, func(f *page.Frame) console.Group { return New(f, Options{Config: live}) })
	return s
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// get reads a page.
func (s *site) get(path string, query ...string) *html.Node {
	s.Helper()
	return s.read(s.Get(path, query...), http.StatusOK)
}

// post sends a form and reads the page that the browser gets to.
func (s *site) post(status int, path string, fields ...string) *html.Node {
	s.Helper()
	a := s.Post(path, fields...)
	if a.Status == http.StatusSeeOther {
		a = s.Follow(a)
	}
	return s.read(a, status)
}

func (s *site) read(a consoletest.Answer, status int) *html.Node {
	s.Helper()
	if a.Status != status {
		s.Fatalf("status %d, want %d\n%s", a.Status, status, consoletest.Content(a.Body))
	}
	if strings.Contains(a.Body, "s3cret") || strings.Contains(a.Body, "<b>n</b>") {
		s.Errorf("a key is shown, or a name as it is: %s", consoletest.Content(a.Body))
	}
	return s.Parse(a.Body)
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

// by finds the element with an attribute.
func by(n *html.Node, name, value string) *html.Node {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && attr(d, name) == value {
			return d
		}
	}
	return nil
}

// row is what the table says of a setting.
func (s *site) row(doc *html.Node, key string) string {
	s.Helper()
	n := by(doc, "data-setting", key)
	if n == nil {
		s.Fatalf("%s isn't there", key)
	}
	return consoletest.Words(n)
}

func (s *site) wants(text string, wants ...string) {
	s.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			s.Errorf("%q lacks %q", text, want)
		}
	}
}

// TestEverySetting: each setting is shown with what there is to know about it.
func TestEverySetting(t *testing.T) {
	s := open(t)
	doc := s.get("settings")
	n := 0
	for _, setting := range s.live.View().Settings {
		n++
		text := s.row(doc, setting.Key)
		s.wants(text, setting.Description, setting.Allowed, setting.Env[0], shown(setting.Default))
		if got := by(doc, "name", valuePrefix+setting.Key) != nil; got != editable(&setting) {
			t.Errorf("%s can be edited: %t", setting.Key, got)
		}
	}
	if n < 60 {
		t.Errorf("only %d settings", n)
	}
	s.wants(s.row(doc, "logging.level"), "file", "at once")
	s.wants(s.row(doc, "server.port"), "after a restart", "8765")
	s.wants(s.row(doc, "server.api_keys"), "at SIGHUP", "<b>n</b> (readonly)")
	s.wants(s.row(doc, "features.llm_store"), "not there yet")
	s.wants(s.row(doc, "vector_index.use_gpu"), "after a restart")
	if got := attr(by(doc, "name", priorPrefix+"logging.level"), "value"); got != "warn" {
		t.Errorf("the form was filled with %q", got)
	}
}

func TestSearch(t *testing.T) {
	s := open(t)
	for query, want := range map[string][]string{
		"?q=THEMIS_LOG_LEVEL":              {"logging.level"},
		"?q=request+TIMEOUT":               {"server.request_timeout_ms"},
		"?show=changed&q=logging":          {"logging.level"},
		"?show=live&q=cdc":                 {"features.cdc", "cdc_retention_hours"},
		"?q=%3Cscript%3Ealert(1)":          nil,
		"?q=%22%3E%3Cimg+src%3Dx&show=%3C": nil,
	} {
		doc := s.get("settings" + query)
		var found []string
		for n := range doc.Descendants() {
			if key := attr(n, "data-setting"); key != "" {
				found = append(found, key)
			}
			if n.Data == "img" {
				t.Errorf("%s: the page has an image", query)
			}
		}
		if strings.Join(found, " ") != strings.Join(want, " ") {
			t.Errorf("%s finds %v, want %v", query, found, want)
		}
	}
}

// TestChange: a change is shown before it is applied, and comes into force only
// then; its entry of the history takes it back.
func TestChange(t *testing.T) {
	s := open(t)
	edit := []string{"set.logging.level", "debug", "was.logging.level", "warn", "set.cdc_retention_hours", "24", "was.cdc_retention_hours", "168",
		"set.logging.format", "text", "was.logging.format", "text", "persist", "yes"}
	doc := s.post(200, "settings/review", edit...)
	s.wants(consoletest.Words(doc), "logging.level warn debug", "cdc_retention_hours 168 24")
	if strings.Contains(consoletest.Words(doc), "logging.format") {
		t.Error("a setting that wasn't edited is in the list")
	}
	if got := s.live.Config().Logging.Level; got != "warn" {
		t.Fatalf("a review has changed it to %s", got)
	}
	// What the page sends on.
	fields := []string{}
	for n := range doc.Descendants() {
		if n.Data == "input" && attr(n, "type") == "hidden" && strings.Contains(attr(n, "name"), ".") {
			fields = append(fields, attr(n, "name"), attr(n, "value"))
		}
	}
	doc = s.post(200, "settings/apply", append(fields, "persist", "yes")...)
	s.wants(consoletest.Words(doc), "2 settings were changed, also after a restart")
	s.wants(s.row(doc, "logging.level"), "changed here, kept")
	if c := s.live.Config(); c.Logging.Level != "debug" || c.CDCRetentionHours != 24 {
		t.Fatalf("%+v", c)
	}

	doc = s.get("settings/history")
	s.wants(consoletest.Words(doc), "admin", "logging.level warn → becomes debug", "cdc_retention_hours 168 → becomes 24", "after a restart too")
	var revert string
	for n := range doc.Descendants() {
		if n.Data == "a" && consoletest.Words(n) == "Revert" {
			revert = strings.TrimPrefix(attr(n, "href"), "../")
		}
	}
	doc = s.get(revert)
	s.wants(consoletest.Words(doc), "Take back the change", "logging.level debug warn", "cdc_retention_hours 24 168", "the default")
	if got := s.live.Config().Logging.Level; got != "debug" {
		t.Fatalf("to look at it has changed it to %s", got)
	}
	s.post(200, "settings/apply", "set.logging.level", "warn", "was.logging.level", "debug", "set.cdc_retention_hours", "168", "was.cdc_retention_hours", "24", "persist", "yes")
	if c := s.live.Config(); c.Logging.Level != "warn" || c.CDCRetentionHours != 168 {
		t.Errorf("taken back: %+v", c)
	}
	s.wants(consoletest.Words(s.get(revert)), "Nothing would change")
	for _, at := range []string{"", "yesterday", "2020-01-01T00:00:00Z"} {
		if a := s.Get("settings/revert", "at", at); a.Status/100 != 4 {
			t.Errorf("at %q: %d", at, a.Status)
		}
	}
}

// TestBadValues: what is wrong is said at the field, all of it at once, and what
// was entered stays.
func TestBadValues(t *testing.T) {
	s := open(t)
	bad := []string{"set.server.request_timeout_ms", "5", "was.server.request_timeout_ms", "30000", "set.vector_index.ef_search", "many<script>", "was.vector_index.ef_search", "64",
		"set.logging.level", "debug", "was.logging.level", "warn"}
	for _, path := range []string{"settings/review", "settings/apply"} {
		doc := s.post(400, path, bad...)
		s.wants(consoletest.Words(by(doc, "id", errorID("server.request_timeout_ms"))), "It is 5; it must be a whole number from 1000 to 300000")
		s.wants(consoletest.Words(by(doc, "id", errorID("vector_index.ef_search"))), `It is "many<script>"`)
		if got := attr(by(doc, "name", "set.vector_index.ef_search"), "value"); got != "many<script>" {
			t.Errorf("%s: the field holds %q", path, got)
		}
		for wish, fields := range map[bool][]string{false: bad, true: append(slices.Clone(bad), "persist", "yes")} {
			if box := by(s.post(400, path, fields...), "id", "settings-persist"); box == nil || has(box, "checked") != wish {
				t.Errorf("%s: the wish to keep it after a restart isn't %t any more", path, wish)
			}
		}
	}
	// However long it is, the page stays readable.
	long := strings.Repeat("<b>a\u202e", 10_000)
	if text := consoletest.Words(s.post(400, "settings/review", "set.logging.level", long, "was.logging.level", "warn")); len(text) > 60_000 || !strings.Contains(text, "…") {
		t.Errorf("the page has %d letters", len(text))
	}
	// As one types.
	doc := s.get("settings/check", append(bad, "persist", "yes")...)
	s.wants(consoletest.Words(by(doc, "id", "settings-bar")), "logging.level warn → becomes debug", "It is 5;")
	if n := by(doc, "id", errorID("logging.level")); n == nil || attr(n, "hx-swap-oob") != "true" || consoletest.Words(n) != "" {
		t.Error("the fields aren't told that they are well")
	}
	if by(doc, "id", "settings-apply") != nil {
		t.Error("it can be applied")
	}
	doc = s.get("settings/check", "set.logging.level", "debug", "was.logging.level", "warn")
	if by(doc, "id", "settings-apply") == nil {
		t.Errorf("a good change can't be applied: %s", consoletest.Words(doc))
	}
	if got := s.live.Config().Logging.Level; got != "warn" {
		t.Errorf("it is %s", got)
	}
	// A setting that can't be changed here isn't even looked at.
	s.post(200, "settings/apply", "set.server.port", "1", "was.server.port", "8765", "set.server.api_keys", "[]", "was.server.api_keys", "x")
	if c := s.live.Config(); c.Server.Port != 8765 || len(c.Server.APIKeys) != 1 {
		t.Errorf("%+v", c.Server)
	}
}

// TestMeanwhile: what somebody else has set isn't undone by a form that was
// opened before.
func TestMeanwhile(t *testing.T) {
	s := open(t)
	if _, err := s.live.Edit("else", []byte(`{"logging":{"level":"error"}}`)); err != nil {
		t.Fatal(err)
	}
	doc := s.post(409, "settings/apply", "set.logging.level", "debug", "was.logging.level", "warn")
	s.wants(consoletest.Words(by(doc, "id", errorID("logging.level"))), "Somebody set it to error meanwhile")
	if got := s.live.Config().Logging.Level; got != "error" {
		t.Errorf("it is %s", got)
	}
	// The form has the new value now.
	if got := attr(by(doc, "name", "was.logging.level"), "value"); got != "error" {
		t.Errorf("filled with %q", got)
	}
	s.post(200, "settings/apply", "set.logging.level", "debug", "was.logging.level", "error")
	if got := s.live.Config().Logging.Level; got != "debug" {
		t.Errorf("it is %s", got)
	}
}

// TestPending: what a restart would change is said, and can be kept if it was
// changed here.
func TestPending(t *testing.T) {
	s := open(t)
	s.post(200, "settings/apply", "set.logging.level", "debug", "was.logging.level", "warn")
	doc := s.get("settings")
	s.wants(consoletest.Words(doc), "A restart would change 1 setting logging.level debug → becomes warn was changed for this run only", "Keep the values")
	s.wants(consoletest.Words(s.post(200, "settings/review", "keep", "logging.level", "persist", "yes")), "logging.level debug debug")
	doc = s.post(200, "settings/apply", "keep", "logging.level", "persist", "yes")
	s.wants(consoletest.Words(doc), "kept after a restart now")
	if strings.Contains(consoletest.Words(doc), "A restart would change") {
		t.Error("it isn't kept")
	}
	write(t, s.file, `{"logging": {"level": "loud"}}`)
	s.wants(consoletest.Words(s.get("settings")), "A restart would fail", "loud")
}
