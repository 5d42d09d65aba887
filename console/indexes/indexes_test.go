package indexes

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
	"github.com/vccdb/vccdb/server/auth"
)

// books fills a table with something for each kind of index.
func books(db *testkit.DB, n int) {
	rng := rand.New(rand.NewPCG(1, 2))
	var ops []engine.Op
	for i := range n {
		v := make([]float32, 12)
		for j := range v {
			v[j] = rng.Float32() - 0.5
		}
		doc := map[string]any{
			"isbn": fmt.Sprintf("978-%06d", i), "year": 1900 + i%100, "genre": []string{"novel", "essay"}[i%2], "sold": i%2 == 0,
			"embedding": v, "shop": map[string]any{"lat": 52.5, "lon": 13.4}, "bought": "2026-01-02T03:04:05Z", "expires_at": 1999999999,
			"text": strings.Repeat("long ", 200),
		}
		if i%10 == 0 {
			doc["award"] = []string{"Hugo", "Nebula"}[i/10%2]
		}
		ops = append(ops, testkit.Put(fmt.Sprintf("books:%d", i), doc))
	}
	db.Do(ops...)
}

func TestSuggestions(t *testing.T) {
	db := testkit.Open(t)
	books(db, 200)
	db.Index(schema.IndexDef{Table: "books", Columns: []string{"year"}, Type: schema.Range})
	sample, err := db.SampleColumns(t.Context(), "books", 0)
	if err != nil {
		t.Fatal(err)
	}
	infos, err := db.IndexStats(t.Context(), "books")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]column{}
	all := suggest(sample, infos)
	for _, c := range all {
		got[c.Path] = c
	}
	for path, want := range map[string]schema.IndexType{
		"embedding": schema.Vector, "isbn": schema.Equality, "genre": schema.Equality, "shop": schema.Geo, "shop.lat": "",
		"bought": schema.Range, "expires_at": schema.TTL, "award": schema.Sparse, "year": "", "sold": "", "text": "",
	} {
		if c, ok := got[path]; !ok || c.Type != want || c.Why == "" || c.Holds == "" {
			t.Errorf("%s: %+v, want %q", path, c, want)
		}
	}
	if all[0].Type != schema.Vector || all[0].Dimension != 12 {
		t.Errorf("the vector isn't first: %+v", all[0])
	}
	if y := got["year"]; !slices.Equal(y.Indexed, []string{"range"}) {
		t.Errorf("year: %+v", y)
	}
}

// A newcomer's way: look at the columns, make an index in one click, find it.
func TestCreate(t *testing.T) {
	s := newSite(t)
	books(s.db, 50)
	s.Page("indexes", "No indexes yet", `href="./indexes/new"`)
	s.Page("indexes/new", `value="books"`)
	s.Page("indexes/new?table=books", "vectors of 12", `name="dimension" value="12"`, "All different", `action="../indexes/create"`)
	s.Page("indexes/new?table=books&column=embedding&type=vector", `value="12"`, "Graph parameters", `placeholder="200"`)
	s.Page("indexes/new?table=new", "There is no table <bdi>new</bdi> yet")
	if to := s.post(303, "indexes/create", "table", "books", "column", "embedding", "type", "vector", "dimension", "12"); to != "indexes?table=books" {
		t.Errorf("leads to %s", to)
	}
	s.post(303, "indexes/create", "table", "books", "column", "genre", "column", "year", "column", "", "unique", "on")
	if to := s.post(303, "indexes/create", "table", "books", "column", "isbn", "back", "query?q=1"); to != "query?q=1" {
		t.Errorf("leads back to %s", to)
	}
	if to := s.post(303, "indexes/create", "table", "books", "column", "sold", "back", "https://elsewhere/"); to != "indexes?table=books" {
		t.Errorf("leads elsewhere: %s", to)
	}
	s.Page("indexes?table=books", "embedding", "vector", "genre", "composite", "unique", "4 indexes")
	s.Page("indexes?type=vector", "1 index<")
	s.Page("indexes?q=GENRE", "1 index<", "Show all")
	s.Page("indexes?q=nothing", "No index fits")
	s.Page("indexes/index?table=books&column=embedding&type=vector", "Memory by part", "Levels of the graph", "12 dimensions, cosine", "Not in the graph yet")
	s.Page("indexes/index?table=books&column=embedding&type=vector", "A start reads the vectors from storage")
	if _, err := s.db.SaveVectors(t.Context(), "books", "embedding"); err != nil {
		t.Fatal(err)
	}
	s.Page("indexes/index?table=books&column=embedding&type=vector", "The newest checkpoint was made", "Changes since", "the stored vectors")
	s.Page("indexes/index?table=books&column=genre&column=year&type=composite", "Unique", "one per value", "Drop index")
}

// What is wrong stands beside the field, and what was typed stays.
func TestCreateRefused(t *testing.T) {
	s := newSite(t)
	books(s.db, 10)
	for _, c := range []struct {
		status int
		fields string
		want   string
	}{
		{400, "table=books type=equality", "Name a column."},
		{400, "table= column=a type=equality", "Name a table."},
		{400, "table=books column=a..b type=equality", "empty name between its dots"},
		{400, "table=books column=v type=vector dimension=9999", "Dimension must be 1 to 4096"},
		{400, "table=books column=v type=vector m=x", "must be a whole number"},
		{400, "table=books column=v type=ttl ttl_seconds=-1", "must be a whole number"},
		{400, "table=books column=a type=composite", "2 to 8 columns"},
		{400, "table=b/d column=a type=equality", "id=\"choose-table-error\""},
		{409, "table=books column=genre type=equality unique=on", "doesn&#39;t fit the index"},
		{409, "table=books column=embedding type=vector dimension=3", "has 12 dimensions, the index has 3"},
	} {
		var fields []string
		for _, f := range strings.Fields(c.fields) {
			name, value, _ := strings.Cut(f, "=")
			fields = append(fields, name, value)
		}
		body := s.post(c.status, "indexes/create", fields...)
		if !strings.Contains(body, c.want) {
			t.Errorf("%s: no %q in %s", c.fields, c.want, consoletest.Content(body))
		}
		for i := 0; i < len(fields); i += 2 {
			if name, value := fields[i], fields[i+1]; name != "unique" && value != "" && !strings.Contains(body, `value="`+value+`"`) {
				t.Errorf("%s: %s=%s is lost", c.fields, name, value)
			}
		}
	}
	if infos, err := s.db.IndexStats(t.Context(), ""); err != nil || len(infos) > 0 {
		t.Errorf("left behind: %+v %v", infos, err)
	}
}

func TestSearchedBy(t *testing.T) {
	for want, v := range map[string]vectorView{
		"the CPU: vector_index.use_gpu is off": {Config: schema.VectorConfig{Engine: "auto"}},
		"the CPU: ":                            {Config: schema.VectorConfig{Engine: "cpu"}},
		"the CPU: no driver":                   {Config: schema.VectorConfig{Engine: "gpu"}, Device: &engine.DeviceStats{State: "waiting", Reason: "no driver"}},
		"the CPU: it rests":                    {Device: &engine.DeviceStats{State: "ready", Reason: "it rests"}},
		"the GPU: ":                            {Device: &engine.DeviceStats{State: "ready", Always: true}},
		"the CPU or the GPU: whichever is quicker for a search": {Device: &engine.DeviceStats{State: "ready"}},
	} {
		if got := v.searchedBy(); got.Value+": "+got.Note != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

func TestChanges(t *testing.T) {
	s := newSite(t)
	books(s.db, 50)
	s.db.Index(schema.IndexDef{Table: "books", Columns: []string{"embedding"}, Type: schema.Vector})
	vector := []string{"table", "books", "column", "embedding", "type", "vector"}
	s.post(303, "indexes/ef", append(vector, "ef", "123")...)
	s.post(303, "indexes/engine", append(vector, "engine", "gpu")...)
	if def, err := s.db.VectorConfig(t.Context(), "books", "embedding"); err != nil || def.Vector.Engine != "gpu" {
		t.Errorf("engine %+v %v", def, err)
	}
	if body := s.post(400, "indexes/engine", append(vector, "engine", "tpu")...); !strings.Contains(body, "answers no searches") {
		t.Error(body)
	}
	if def, err := s.db.VectorConfig(t.Context(), "books", "embedding"); err != nil || def.Vector.Ef != 123 {
		t.Errorf("ef %+v %v", def, err)
	}
	for _, ef := range []string{"0", "many", "99999"} {
		if body := s.post(400, "indexes/ef", append(vector, "ef", ef)...); !strings.Contains(body, `value="`+ef+`"`) || !strings.Contains(body, "Ef is a whole number from 1 to 10000") {
			t.Errorf("ef %s: %s", ef, consoletest.Content(body))
		}
	}
	s.post(303, "indexes/rebuild", vector...)
	s.await()
	s.post(404, "indexes/rebuild", "table", "books", "column", "none", "type", "vector")
	s.post(303, "indexes/reindex", "table", "books")
	s.await()
	s.post(404, "indexes/reindex", "table", "none")
	body := s.post(400, "indexes/drop", append(vector, "confirm", "embed")...)
	if !strings.Contains(body, "doesn&#39;t match") {
		t.Errorf("not confirmed: %s", body)
	}
	s.post(303, "indexes/drop", append(vector, "confirm", "embedding")...)
	if a := s.Get("indexes/index?table=books&column=embedding&type=vector"); a.Status != 404 || !strings.Contains(a.Body, "index") {
		t.Errorf("after it was dropped: %d", a.Status)
	}
}

func TestRecall(t *testing.T) {
	s := newSite(t)
	books(s.db, 100)
	s.db.Index(schema.IndexDef{Table: "books", Columns: []string{"embedding"}, Type: schema.Vector})
	page := "indexes/index?column=embedding&tab=recall&table=books&type=vector"
	s.Page(page, "Not measured since the start")
	vector := []string{"table", "books", "column", "embedding"}
	for _, wrong := range [][2]string{{"sample", "0"}, {"efs", "8 x"}, {"sample", "2001"}, {"k", "99999"}, {"efs", "99999"}} {
		body := s.post(400, "indexes/recall", append(vector, wrong[0], wrong[1])...)
		if !strings.Contains(body, `id="field-`+wrong[0]+`-error"`) || !strings.Contains(body, `value="`+wrong[1]+`"`) {
			t.Errorf("%v: %s", wrong, consoletest.Content(body))
		}
	}
	if to := s.post(303, "indexes/recall", append(vector, "sample", "20", "k", "3", "efs", "8, 32;64")...); to != page {
		t.Errorf("leads to %s", to)
	}
	s.await()
	s.Page(page, "Recall and latency by ef", `data-curve-source="#curve-data"`, `"xs":[8,32,64]`, "in use", "k 3, 20 queries, 100 vectors", "100 %", "polyline")
	s.post(303, "indexes/recall", append(vector, "sample", "10", "k", "2")...)
	s.await()
	first := s.db.Jobs().List()[1]
	s.Page(page, "Earlier", "run="+first.ID, "k 2, 10 queries")
	s.Page(page+"&run="+first.ID, "k 3, 20 queries")
}

// Readers see everything and are told why they can't change it.
func TestReaders(t *testing.T) {
	s := newSite(t)
	books(s.db, 30)
	s.db.Index(schema.IndexDef{Table: "books", Columns: []string{"embedding"}, Type: schema.Vector})
	s.Role = auth.ReadOnly
	for _, path := range []string{"indexes/new?table=books", "indexes/index?table=books&column=embedding&type=vector", "indexes/index?table=books&column=embedding&type=vector&tab=recall"} {
		body := s.Page(path, "needs the role readwrite")
		if strings.Contains(body, `name="confirm"`) {
			t.Errorf("%s lets a reader confirm", path)
		}
	}
}

// Names of columns may hold anything; it runs nowhere and leads nowhere else.
func TestHostileNames(t *testing.T) {
	s := newSite(t)
	const evil = `"><script>alert(1)</script>` + "\u202e"
	s.db.Do(testkit.Put("t:1", map[string]any{evil: "<img src=x>", "ok": 1}))
	s.post(303, "indexes/create", "table", "t", "column", evil, "type", "equality")
	infos, err := s.db.IndexStats(t.Context(), "t")
	if err != nil || len(infos) != 1 {
		t.Fatal(infos, err)
	}
	i := indexOf(&infos[0])
	var query strings.Builder
	for n := 0; n < len(i.Query()); n += 2 {
		query.WriteString(i.Query()[n] + "=" + strings.NewReplacer("<", "%3C", ">", "%3E", `"`, "%22", "\u202e", "%E2%80%AE").Replace(i.Query()[n+1]) + "&")
	}
	for _, path := range []string{"indexes", "indexes/new?table=t", "indexes/index?" + query.String(), "indexes/new?" + query.String(), "indexes?q=%22%3E%3Cscript%3E"} {
		body := s.Page(path)
		if strings.Contains(body, "<script>") || strings.Contains(body, "<img") {
			t.Errorf("%s: %s", path, consoletest.Content(body))
		}
	}
}

func TestListOf(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	lately, longAgo := now.Add(-time.Minute), now.Add(-time.Hour)
	def := func(table, column string, typ schema.IndexType) schema.IndexDef {
		return schema.IndexDef{Table: table, Columns: []string{column}, Type: typ, State: schema.StateReady}
	}
	building := def("b", "x", schema.Equality)
	building.State = schema.StateBuilding
	infos := []engine.IndexInfo{
		{IndexDef: def("b", "y", schema.Range), EntryCount: 5, SizeBytes: 10},
		{IndexDef: building, JobID: "1", EntryCount: 1},
		{IndexDef: def("a", "z", schema.Equality), EntryCount: 9, SizeBytes: 1},
		{IndexDef: def("a", "z", schema.Equality), Rebuild: true, JobID: "2", EntryCount: 4},
		{IndexDef: def("a", "v", schema.Vector), Loading: true},
	}
	known := []jobs.Status{
		{ID: "1", Kind: "index_build", Subject: "b.x (equality)", State: jobs.Running},
		{ID: "2", Kind: "index_rebuild", Subject: "a.z (equality)", State: jobs.Running},
		{ID: "3", Kind: "index_build", Subject: "b.x (equality)", State: jobs.Failed, Finished: &lately},
		{ID: "4", Kind: "index_build", Subject: "b.w (equality)", State: jobs.Failed, Finished: &lately},
		{ID: "5", Kind: "index_build", Subject: "b.u (equality)", State: jobs.Failed, Finished: &longAgo},
		{ID: "6", Kind: "snapshot", State: jobs.Running},
	}
	names := func(q listQuery) string {
		var out []string
		for _, r := range listOf(infos, q, known, now).Rows {
			out = append(out, r.Name()+" "+r.State.Name)
		}
		return strings.Join(out, ", ")
	}
	for want, q := range map[string]listQuery{
		"a.v (vector) loading, a.z (equality) rebuilding, b.x (equality) building, b.y (range) ready": {},
		"a.z (equality) rebuilding, b.y (range) ready, b.x (equality) building, a.v (vector) loading": {Sort: "entries"},
		"b.y (range) ready":                          {State: "ready"},
		"b.x (equality) building, b.y (range) ready": {Table: "b"},
		"a.v (vector) loading":                       {Text: "V ("},
	} {
		q.Page = 1
		if got := names(q); got != want {
			t.Errorf("%+v:\n got %s\nwant %s", q, got, want)
		}
	}
	v := listOf(infos, listQuery{Page: 1}, known, now)
	var ids []string
	for _, s := range v.Jobs {
		ids = append(ids, s.ID)
	}
	if v.Total != 4 || v.Entries != 15 || v.Bytes != 11 || !slices.Equal(ids, []string{"1", "2", "4"}) {
		t.Errorf("%d indexes, %d entries, %d bytes, jobs %v", v.Total, v.Entries, v.Bytes, ids)
	}
	if v := listOf(infos, listQuery{Page: 1, Table: "a"}, known, now); len(v.Jobs) != 1 {
		t.Errorf("jobs of a: %+v", v.Jobs)
	}
	if v := listOf(infos, listQuery{Page: 1, Table: "a", State: "ready"}, known, now); v.OfTable != 2 || v.Matching != 0 {
		t.Errorf("%d indexes of a, of which %d are ready", v.OfTable, v.Matching)
	}
}

func TestListPages(t *testing.T) {
	var infos []engine.IndexInfo
	for i := range 250 {
		infos = append(infos, engine.IndexInfo{IndexDef: schema.IndexDef{Table: "t", Columns: []string{fmt.Sprintf("c%03d", i)}, Type: schema.Equality}})
	}
	for page, want := range map[int]string{1: "1 c000 100 2", 2: "101 c100 100 3", 3: "201 c200 50 0"} {
		v := listOf(infos, listQuery{Page: page}, nil, time.Time{})
		if got := fmt.Sprint(v.First, " ", v.Rows[0].Columns[0], " ", len(v.Rows), " ", v.Next); got != want {
			t.Errorf("page %d: %s", page, got)
		}
	}
	if v := listOf(infos, listQuery{Page: math.MaxInt}, nil, time.Time{}); len(v.Rows) != 0 || v.Next != 0 {
		t.Errorf("the last page there could be: %+v", v)
	}
	if v := listOf(infos, listQuery{Page: 9}, nil, time.Time{}); len(v.Rows) != 0 || v.Next != 0 {
		t.Errorf("beyond the end: %+v", v.Rows)
	}
}

func TestHistogram(t *testing.T) {
	bars := histogram([]int{1, 0, 100_000, 50_000})
	if len(bars) != 4 || bars[0].Height != "1.5" || bars[1].Height != "0.0" || bars[2].Height != "120.0" || bars[2].Y != "0.0" || bars[3].Height != "60.0" {
		t.Errorf("%+v", bars)
	}
	wide := histogram(make([]int, 513))
	if len(wide) > maxBars || wide[0].Label != "0–15" || wide[len(wide)-1].Label != "512" {
		t.Errorf("%d bars, %+v", len(wide), wide[len(wide)-1])
	}
	d := degreesOf([]int{2, 0, 4, 4})
	if d.Least != 0 || d.Most != 3 || d.Alone != 2 || d.Mean != 2 {
		t.Errorf("%+v", d)
	}
	if d := degreesOf([]int{1}); d.Alone != 0 {
		t.Errorf("the only node: %+v", d)
	}
}

func TestVerdict(t *testing.T) {
	points := func(recalls ...float64) []engine.RecallPoint {
		var out []engine.RecallPoint
		for i, r := range recalls {
			out = append(out, engine.RecallPoint{Ef: 16 << i, Recall: r, P50Ms: 1})
		}
		return out
	}
	for _, c := range []struct {
		ef     int
		points []engine.RecallPoint
		want   string
	}{
		{32, points(0.5, 0.9), "No ef measured here finds 99 %"},
		{32, points(0.5, 0.9, 0.995), "An ef of 64 is the least here that finds 99 %"},
		{32, points(0.995, 0.999), "An ef of 16 finds 99 % already"},
		{16, points(0.995, 0.999), "That is plenty."},
		{99, points(0.5, 0.999), "An ef of 32 is the least"},
	} {
		s := jobs.Status{Result: []byte(`{}`)}
		if _, ok := curveOf(&s); ok {
			t.Error("a curve without points")
		}
		this := &curve{RecallCurve: engine.RecallCurve{Ef: c.ef, K: 10, Points: c.points}}
		for _, p := range c.points {
			if p.Recall >= goodRecall && this.Enough == 0 {
				this.Enough = p.Ef
			}
		}
		if got := this.verdict(); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestScanned(t *testing.T) {
	c := &curve{RecallCurve: engine.RecallCurve{Vectors: 1000, Points: []engine.RecallPoint{{Ef: 8, Distances: 100}, {Ef: 16, Distances: 995}, {Ef: 32, Distances: 1000}}}}
	if from := c.scanned(); from != 16 {
		t.Errorf("from %d", from)
	}
	if c.Points = c.Points[:1]; c.scanned() != 0 {
		t.Error("the graph was walked")
	}
}

func TestNamesOfAnIndex(t *testing.T) {
	i := components.Index{Table: "t", Columns: []string{"a", "b"}, Type: "composite"}
	infos := []engine.IndexInfo{
		{IndexDef: schema.IndexDef{Table: "t", Columns: []string{"a"}, Type: schema.Composite}},
		{IndexDef: schema.IndexDef{Table: "t", Columns: []string{"a", "b"}, Type: schema.Composite}, Rebuild: true, JobID: "7"},
		{IndexDef: schema.IndexDef{Table: "t", Columns: []string{"a", "b"}, Type: schema.Composite}, EntryCount: 3},
	}
	if info, job, err := find(infos, i); err != nil || info.EntryCount != 3 || job != "7" {
		t.Errorf("%+v %s %v", info, job, err)
	}
	if _, _, err := find(infos[:2], i); err == nil {
		t.Error("a rebuild alone was taken for the index")
	}
}
