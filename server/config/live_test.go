package config

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/internal/errs"
)

// fixture is a configuration with a file and an overlay in a folder.
type fixture struct {
	t       testing.TB
	source  Source
	overlay string
	live    *Live
}

func newFixture(t testing.TB, content string, environ []string, set ...string) *fixture {
	dir := t.TempDir()
	f := &fixture{t: t, overlay: filepath.Join(dir, "overlay.json")}
	f.source = Source{File: filepath.Join(dir, "themis.json"), Environ: environ, Set: append([]string{overlayKey + "=" + f.overlay}, set...)}
	f.file(content)
	f.restart()
	return f
}

func (f *fixture) file(content string) {
	f.t.Helper()
	if err := os.WriteFile(f.source.File, []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) restart() {
	f.t.Helper()
	live, err := Open(f.source)
	if err != nil {
		f.t.Fatal(err)
	}
	f.live = live
}

func (f *fixture) edit(document string) *Outcome {
	f.t.Helper()
	out, err := f.live.Edit("ops", []byte(document))
	if err != nil {
		f.t.Fatalf("%s: %v", document, err)
	}
	return out
}

// want holds that a setting has a value and a source, in the view and in Config.
func (f *fixture) want(key, value, source string) {
	f.t.Helper()
	for _, s := range f.live.View().Settings {
		if s.Key == key && (string(s.Value) != value || s.Source != source) {
			f.t.Errorf("%s is %s from %s, want %s from %s", key, s.Value, s.Source, value, source)
		}
	}
	if got := f.live.Config().Logging.Level; key == "logging.level" && `"`+got+`"` != value {
		f.t.Errorf("the level in force is %s, want %s", got, value)
	}
}

func TestPrecedence(t *testing.T) {
	level, ef, hours, rate := "logging.level", "vector_index.ef_search", "cdc_retention_hours", "server.rate_limit_per_key"
	f := newFixture(t, `{"logging": {"level": "warn"}, "cdc_retention_hours": 1, "vector_index": {"ef_search": 1}}`,
		[]string{"THEMIS_VECTOR_INDEX_EF_SEARCH=2", "THEMIS_LOG_LEVEL=error"}, "cdc_retention_hours=3")
	f.want("server.port", "8765", "default")
	f.want(level, `"error"`, "env THEMIS_LOG_LEVEL")
	f.want(ef, "2", "env THEMIS_VECTOR_INDEX_EF_SEARCH")
	f.want(hours, "3", "flag")

	// A change lasts until the next start or hangup.
	f.edit(`{"logging": {"level": "debug"}, "cdc_retention_hours": 4, "server.rate_limit_per_key": 5}`)
	f.want(level, `"debug"`, "runtime")
	f.want(hours, "4", "runtime")
	f.want(rate, "5", "runtime")
	if _, err := f.live.Reload("hangup"); err != nil {
		t.Fatal(err)
	}
	f.want(level, `"error"`, "env THEMIS_LOG_LEVEL")
	f.want(hours, "3", "flag")
	f.want(rate, "0", "default")

	// A persisted one stays, unless a flag is in its way.
	out := f.edit(`{"persist": true, "logging": {"level": "trace"}, "cdc_retention_hours": 6, "vector_index.ef_search": 7}`)
	if !out.Persisted || len(out.Changes) != 3 || len(out.Notes) != 1 || !strings.HasPrefix(out.Notes[0], hours+" is also set by a flag") {
		t.Errorf("the outcome is %+v", out)
	}
	f.want(level, `"trace"`, "overlay")
	f.want(hours, "6", "runtime")
	f.want(ef, "7", "overlay")
	for range 2 {
		f.restart()
		f.want(level, `"trace"`, "overlay")
		f.want(hours, "3", "flag")
		f.want(ef, "7", "overlay")
		if _, err := f.live.Reload("hangup"); err != nil {
			t.Fatal(err)
		}
	}
	// A change on top of it doesn't touch what was persisted.
	f.edit(`{"logging": {"level": "info"}}`)
	f.edit(`{"persist": true, "vector_index": {"ef_search": 8}}`)
	f.want(level, `"info"`, "runtime")
	f.restart()
	f.want(level, `"trace"`, "overlay")
	f.want(ef, "8", "overlay")

	if err := os.Remove(f.overlay); err != nil {
		t.Fatal(err)
	}
	if _, err := f.live.Reload("hangup"); err != nil {
		t.Fatal(err)
	}
	f.want(level, `"error"`, "env THEMIS_LOG_LEVEL")
}

// recorder is a subscriber that notes what it is told, and may refuse or fail.
type recorder struct {
	refuse, fail error
	applied      []*Config
}

func (r *recorder) subscriber() Subscriber {
	return Subscriber{
		Check: func(_, _ *Config) error { return r.refuse },
		Apply: func(_, after *Config) error {
			if r.fail == nil {
				r.applied = append(r.applied, after)
			}
			return r.fail
		},
	}
}

func TestEditRefuses(t *testing.T) {
	secret := `{"server": {"api_keys": [{"key": "s3cret7890abcdef", "role": "admin"}]}}`
	f := newFixture(t, secret, nil)
	r := &recorder{}
	f.live.Subscribe(r.subscriber())
	f.edit(`{"persist": true, "logging": {"level": "warn"}}`)
	r.applied = nil
	before, history := f.live.View(), f.live.History()
	overlay, _ := os.ReadFile(f.overlay)

	tests := []struct{ document, kindAndCode, pointers, detail string }{
		{``, "1 invalid_json", "", "can't be read"},
		{`{"logging": {"level": "debug"}`, "1 invalid_json", "", ""},
		{`{"logging": {}, "logging": {}}`, "1 invalid_json", "", "duplicate"},
		{`[]`, "1 not_an_object", "[{ the body must be a JSON object of settings; nothing was changed}]", ""},
		{`null`, "1 not_an_object", "", ""},
		{`{}`, "1 empty_body", "", ""},
		{`{"persist": true}`, "1 empty_body", "", ""},
		{`{"logging": {}}`, "1 empty_body", "", ""},
		{`{"persist": 1, "logging.level": "debug"}`, "1 invalid_setting", "/persist", "true or false"},
		{`{"logging": {"level": "debug", "format": "xml"}}`, "1 invalid_setting", "/logging/format", `logging.format is "xml"; it must be one of text, json`},
		{`{"logging.level": "debug", "logging": {"level": "debug"}}`, "1 invalid_setting", "/logging.level", "given twice"},
		{`{"request_timeout_ms": 5000, "server": {"request_timeout_ms": 5000}}`, "1 invalid_setting", "/server/request_timeout_ms", "given twice"},
		{`{"request_timeout_ms": 999}`, "1 invalid_setting", "/request_timeout_ms", "a whole number from 1000 to 300000"},
		{`{"server": {"request_timeout_ms": 300001}}`, "1 invalid_setting", "/server/request_timeout_ms", ""},
		{`{"cdc_retention_hours": 0}`, "1 invalid_setting", "/cdc_retention_hours", "from 1 to 8760"},
		{`{"cdc_retention_hours": 8761}`, "1 invalid_setting", "", ""},
		{`{"cdc_retention_hours": null}`, "1 invalid_setting", "", "has no value"},
		{`{"features": {"timeseries": true}}`, "1 invalid_setting", "/features/timeseries", "not available yet"},
		{`{"features": true}`, "1 unknown_setting", "/features", "is a section"},
		{`{"logging": {"levle": "debug", "level": "info"}}`, "1 unknown_setting", "/logging/levle", "the nearest is logging.level"},
		{`{"loging": {"level": "debug"}, "logging": {"level": "bad"}, "server.port": 1}`, "1 unknown_setting", "/loging/level", "the nearest is logging.level"},
		{`{"logging": {"level": "debug"}, "server": {"port": 8765}}`, "3 restart_required", "/server/port", "server.port can't change"},
		{`{"server.worker_threads": 2}`, "3 restart_required", "/server.worker_threads", ""},
		{`{"server": {"threads": 2}}`, "3 restart_required", "/server/threads", "server.worker_threads can't change"},
		{`{"rocksdb": {"db_path": "x", "memtable_size_mb": 1}}`, "3 restart_required", "/rocksdb/memtable_size_mb", "storage.rocksdb_path can't"},
		{`{"storage": {"compression": "lz4"}}`, "3 restart_required", "", ""},
		{secret, "3 restart_required", "/server/api_keys", ""},
		{`{"` + strings.Repeat("x", 1<<20) + `": 1}`, "1 unknown_setting", "", "xxx..."},
	}
	for _, test := range tests {
		_, err := f.live.Edit("ops", []byte(test.document))
		var e *errs.Error
		if !errors.As(err, &e) || fmt.Sprint(e.Kind, " ", e.Code) != test.kindAndCode || !strings.Contains(e.Error(), test.detail) ||
			!strings.Contains(fmt.Sprint(e.Fields), test.pointers) || strings.Contains(fmt.Sprint(e.Error(), e.Fields), "s3cret") {
			t.Errorf("%.100s: %d %s %v %.300v", test.document, errs.KindOf(err), errs.CodeOf(err), e.Fields, err)
		}
	}
	r.refuse = errs.New(errs.Conflict, "busy", "not now")
	if _, err := f.live.Edit("ops", []byte(`{"persist": true, "logging": {"level": "debug"}}`)); errs.CodeOf(err) != "busy" {
		t.Errorf("a refusal became %v", err)
	}
	after, _ := os.ReadFile(f.overlay)
	if !reflect.DeepEqual(f.live.View(), before) || !reflect.DeepEqual(f.live.History(), history) || !bytes.Equal(overlay, after) || r.applied != nil {
		t.Error("a refused edit changed something")
	}
}

// TestFailedApplyIsTakenBack holds that a part that fails in the middle, or an
// overlay that can't be put in place, leaves nothing of the change anywhere.
func TestFailedApplyIsTakenBack(t *testing.T) {
	f := newFixture(t, `{}`, nil)
	first, second, third := &recorder{}, &recorder{fail: errs.New(errs.StorageFull, "disk_full", "no space")}, &recorder{}
	for _, r := range []*recorder{first, second, third} {
		f.live.Subscribe(r.subscriber())
	}
	before, config := f.live.View(), f.live.Config()
	if _, err := f.live.Edit("ops", []byte(`{"persist": true, "logging": {"level": "debug"}}`)); errs.CodeOf(err) != "disk_full" {
		t.Errorf("got %v", err)
	}
	if len(first.applied) != 2 || first.applied[1] != config || third.applied != nil {
		t.Errorf("applied %v, %v", first.applied, third.applied)
	}
	second.fail = nil
	if err := os.MkdirAll(filepath.Join(f.overlay, "x"), 0o700); err != nil { // a folder can't be replaced by a file
		t.Fatal(err)
	}
	if _, err := f.live.Edit("ops", []byte(`{"persist": true, "logging": {"level": "debug"}}`)); errs.CodeOf(err) != "overlay_not_written" {
		t.Errorf("got %v", err)
	}
	for _, r := range []*recorder{first, second, third} {
		if r.applied[len(r.applied)-1] != config {
			t.Error("a part kept the change")
		}
	}
	if !reflect.DeepEqual(f.live.View(), before) || len(f.live.History()) != 0 {
		t.Error("something changed")
	}
}

func TestEditWithoutAPlaceForTheOverlay(t *testing.T) {
	f := newFixture(t, `{}`, nil)
	r := &recorder{}
	f.live.Subscribe(r.subscriber())
	if err := os.RemoveAll(filepath.Dir(f.overlay)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.live.Edit("ops", []byte(`{"persist": true, "logging": {"level": "debug"}}`)); errs.CodeOf(err) != "overlay_not_written" {
		t.Errorf("got %v", err)
	}
	if r.applied != nil || len(f.live.History()) != 0 {
		t.Error("it was changed all the same")
	}
	f.want("logging.level", `"info"`, "default")
	// What isn't persisted needs no place, but the loss is told.
	if out := f.edit(`{"logging": {"level": "debug"}}`); len(out.Notes) != 1 || len(r.applied) != 1 {
		t.Errorf("got %+v", out)
	}
	f.want("logging.level", `"debug"`, "runtime")
}

func TestDryRun(t *testing.T) {
	f := newFixture(t, `{}`, nil)
	r := &recorder{}
	f.live.Subscribe(r.subscriber())
	before := f.live.View()
	out := f.edit(`{"dry_run": true, "persist": true, "logging": {"level": "debug", "format": "text"}}`)
	if fmt.Sprintf("%s", out.Changes) != `[{logging.level "info" "debug"}]` || !out.DryRun || out.Persisted {
		t.Errorf("got %+v", out)
	}
	if _, err := os.Stat(f.overlay); err == nil || r.applied != nil || !reflect.DeepEqual(before, f.live.View()) {
		t.Error("a dry run changed something")
	}
	r.refuse = errors.New("no")
	if _, err := f.live.Edit("ops", []byte(`{"dry_run": true, "logging": {"level": "debug"}}`)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a dry run that would be refused: %v", err)
	}
}

func TestReloadRefuses(t *testing.T) {
	f := newFixture(t, `{"logging": {"level": "warn"}}`, nil)
	r := &recorder{}
	f.live.Subscribe(r.subscriber())
	for _, test := range []struct{ content, code, detail string }{
		{`{"logging": {"level": "debug"}, "server": {"port": 1}, "query": {"batch_size": 7}}`, "restart_required", "server.port, query.batch_size can't change"},
		{`{"logging": {"level": "debug"}, "storage": {"rocksdb_path": "/x"}}`, "restart_required", "storage.rocksdb_path"},
		{`{"logging": {"level": "debug", "format": "xml"}}`, "invalid_setting", `logging.format is "xml"`},
		{`{"logging": {"level": "debug"}, "server": {"enable_auth": true}}`, "invalid_setting", "server.api_keys is empty"},
		{`{"logging": `, "invalid_setting", "can't be parsed"},
	} {
		f.file(test.content)
		if _, err := f.live.Reload("SIGHUP"); errs.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.detail) {
			t.Errorf("%s: %v", test.content, err)
		}
	}
	os.Remove(f.source.File)
	if _, err := f.live.Reload("SIGHUP"); err == nil {
		t.Error("an absent file is accepted")
	}
	f.want("logging.level", `"warn"`, "file")
	if r.applied != nil || len(f.live.History()) != 0 {
		t.Error("a refused reload changed something")
	}
	f.file(`{"logging": {"level": "debug"}, "server": {"api_keys": [{"key": "s3cret7890abcdef", "role": "admin"}]}}`)
	out, err := f.live.Reload("SIGHUP")
	if err != nil || len(out.Changes) != 2 || len(r.applied) != 1 || len(r.applied[0].Server.APIKeys) != 1 {
		t.Errorf("got %+v, %v", out, err)
	}
	overlay, _ := os.ReadFile(f.overlay)
	if !strings.Contains(string(overlay), `"***"`) || strings.Contains(string(overlay), "s3cret") {
		t.Errorf("the overlay has %s", overlay)
	}
}

func TestHistory(t *testing.T) {
	f := newFixture(t, `{}`, nil)
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f.live.now = func() time.Time { return at }
	f.edit(`{"logging": {"level": "debug", "format": "json"}}`)
	f.edit(`{"logging": {"level": "debug"}}`) // changes nothing
	at = at.Add(time.Hour)
	f.edit(`{"persist": true, "logging": {"level": "warn"}}`)
	f.file(`{"cdc_retention_hours": 24}`)
	if _, err := f.live.Reload("SIGHUP"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`2026-11-22 11:00:00 +0000 UTC SIGHUP true [{logging.format "json" "text"} {cdc_retention_hours 168 24}]`,
		`2026-11-22 11:00:00 +0000 UTC ops true [{logging.level "debug" "warn"}]`,
		`2026-11-22 10:00:00 +0000 UTC ops false [{logging.level "info" "debug"} {logging.format "text" "json"}]`,
	}
	for range 2 {
		var got []string
		for _, e := range f.live.History() {
			got = append(got, fmt.Sprintf("%v %s %t %s", e.Time, e.Who, e.Persisted, e.Changes))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		f.restart()
	}
	for i := range maxHistory + 5 {
		f.edit(fmt.Sprintf(`{"cdc_retention_hours": %d}`, i+100))
	}
	f.restart()
	if h := f.live.History(); len(h) != maxHistory || string(h[0].Changes[0].To) != "304" {
		t.Errorf("%d entries, the first is %s", len(h), h[0].Changes)
	}
}

// TestChangesAreLogged holds that no level hides a change, not even the one that
// raises it.
func TestChangesAreLogged(t *testing.T) {
	f := newFixture(t, `{}`, nil)
	var out bytes.Buffer
	f.live.SetLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError})))
	f.edit(`{"logging": {"level": "debug"}}`)
	for _, want := range []string{`msg="a setting was changed"`, "who=ops", "key=logging.level", `to="\"debug\""`, "persisted=false"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %s", out.String(), want)
		}
	}
}

// TestOverlayFileProblems holds that an overlay that was tampered with stops the
// start with a sentence that names it.
func TestOverlayFileProblems(t *testing.T) {
	f := newFixture(t, `{}`, nil)
	for _, content := range []string{``, `{`, `{"settings": {"server.port": 1}}`, `{"settings": {"logging.levle": "info"}}`,
		`{"settings": {"logging.level": "loud"}}`, `{"settings": {"logging.level": 1}}`, `{"setings": {}}`, `[]`} {
		if err := os.WriteFile(f.overlay, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(f.source); err == nil || !strings.Contains(err.Error(), f.overlay) {
			t.Errorf("%s: %v", content, err)
		}
	}
	if _, err := Open(Source{Set: []string{overlayKey + "=/dev/zero"}}); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a device: %v", err)
	}
}

// TestKillWhileTheOverlayIsWritten kills a writer again and again: the file holds
// one of the writer's states as a whole, and the next start reads it.
func TestKillWhileTheOverlayIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overlay.json")
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		writer := exec.Command(os.Args[0])
		writer.Env = append(os.Environ(), asWriter+"="+path)
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		started := make([]byte, len("writing"))
		if _, err := out.Read(started); err != nil || string(started) != "writing" {
			t.Fatalf("the writer says %q, %v", started, err)
		}
		time.Sleep(time.Duration(rand.IntN(5000)) * time.Microsecond)
		writer.Process.Kill()
		writer.Wait()
		l, err := Open(Source{Set: []string{overlayKey + "=" + path}})
		if err != nil {
			t.Fatal(err)
		}
		c := l.Config()
		newest := l.History()[0].Changes
		if c.CDCRetentionHours != c.VectorIndex.EfSearch || string(newest[0].To) != fmt.Sprint(c.CDCRetentionHours) {
			t.Fatalf("half a change: %d, %d, %s", c.CDCRetentionHours, c.VectorIndex.EfSearch, newest)
		}
	}
}

func TestViewIsComplete(t *testing.T) {
	f := newFixture(t, `{"server": {"api_keys": [{"key": "s3cret7890abcdef", "role": "admin", "name": "ops"}]}}`, nil)
	v := f.live.View()
	text, err := json.Marshal(v.Values, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(v.Settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"api_keys":[{"name":"ops","role":"admin","key":"***"}]`, `"compression":{"bottommost":"zstd","default":"lz4"}`,
		`"cdc_retention_hours":168`, `"snapshot_dirs":["snapshots"]`, `"use_gpu":false`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the values lack %s: %s", want, text)
		}
	}
	if strings.Contains(string(text)+string(settings), "s3cret") {
		t.Error("the view tells a secret")
	}
	seen := map[string]bool{}
	for _, s := range v.Settings {
		seen[s.Key] = true
		if s.Description == "" || s.Allowed == "" || s.Source == "" || len(s.Env) == 0 {
			t.Errorf("%s has not all there is to say: %+v", s.Key, s)
		}
	}
	for i := range keys {
		if !seen[keys[i].path] && keys[i].sets == nil {
			t.Errorf("%s isn't shown", keys[i].path)
		}
	}
}

// FuzzEdit holds that a document changes all it names or nothing at all.
func FuzzEdit(f *testing.F) {
	for _, seed := range []string{
		`{"logging":{"level":"debug","format":"json"}}`, `{"logging.level":"debug","server":{"port":1}}`,
		`{"cdc_retention_hours":24,"request_timeout_ms":5000,"features":{"cdc":true}}`, `{"dry_run":true,"logging":{"level":"warn"}}`,
		`{"persist":true,"vector_index":{"ef_search":1e2},"x":1}`, `{"logging":{"level":["debug"]}}`, `{"":{"":{}}}`, "{\"\\ud800\":1}",
	} {
		f.Add([]byte(seed))
	}
	fixture := newFixture(f, `{}`, nil)
	overlay := fixture.overlay
	f.Fuzz(func(t *testing.T, document []byte) {
		os.Remove(overlay)
		fixture.t = t
		fixture.restart()
		r := &recorder{}
		fixture.live.Subscribe(r.subscriber())
		before := fixture.live.View()
		out, err := fixture.live.Edit("fuzz", document)
		after := fixture.live.View()
		_, written := os.Stat(overlay)
		if err != nil {
			if !reflect.DeepEqual(before, after) || r.applied != nil || written == nil {
				t.Fatalf("refused with %v, but something changed", err)
			}
			return
		}
		changed := map[string]bool{}
		for _, c := range out.Changes {
			changed[c.Key] = true
		}
		for i, s := range after.Settings {
			if same := bytes.Equal(s.Value, before.Settings[i].Value); same == (changed[s.Key] && !out.DryRun) {
				t.Fatalf("%s: told as changed: %t, is the same: %t", s.Key, changed[s.Key], same)
			}
		}
		if applied := len(r.applied) == 1; applied != (len(out.Changes) > 0 && !out.DryRun) && !out.Persisted {
			t.Fatalf("applied %d times: %+v", len(r.applied), out)
		}
	})
}
