package indexes

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/server/problem"
)

// detailView is the page of one index.
type detailView struct {
	components.Index
	Info  *engine.IndexInfo
	State state
	// Vector is set for a vector index, whose page has tabs.
	Vector *vectorView
	Tab    string
	Recall recallView
	// Ef is what stands in the form of ef. Errors are sentences by field, after a
	// form that can't be taken; General is one about the whole.
	Ef      string
	Errors  map[string]string
	General string
}

// fact is a name and its value.
type fact struct{ Name, Value, Note string }

func (x *Indexes) show(c fiber.Ctx) error {
	v, err := x.detail(c.Context(), fromQuery(c))
	if err != nil {
		return err
	}
	if v.Vector != nil && page.Query(c, "tab") == "recall" {
		v.Tab = "recall"
		v.Recall = recallOf(x.db.Jobs().List(), v.Index, page.Query(c, "run"))
	}
	return x.showDetail(c, http.StatusOK, v)
}

func (x *Indexes) showDetail(c fiber.Ctx, status int, v *detailView) error {
	i := v.Index
	return x.frame.ShowStatus(c, status, page.Page{
		Title: i.Table + "." + strings.Join(i.Columns, ", "), Nav: nav,
		Crumbs:  []page.Crumb{{Title: "Indexes", Path: "indexes"}, {Title: i.Table, Path: "tables/" + view.Segment(i.Table)}},
		Actions: detailActions(v),
	}, detail(v))
}

func (x *Indexes) detail(ctx context.Context, i components.Index) (*detailView, error) {
	infos, err := x.infos(ctx, i)
	if err != nil {
		return nil, err
	}
	info, rebuildJob, err := find(infos, i)
	if err != nil {
		return nil, err
	}
	v := &detailView{Index: i, Info: info, State: stateOf(info, x.status(info.JobID), x.status(rebuildJob))}
	if info.Type == schema.Vector {
		v.Vector = vectorOf(info, x.db.Readiness())
		v.Tab, v.Ef = "index", strconv.Itoa(v.Vector.Config.Ef)
	}
	return v, nil
}

// again shows the page after a form that can't be taken: with what was typed, by
// fill, and with what is wrong beside it.
func (x *Indexes) again(c fiber.Ctx, i components.Index, wrong error, fill func(*detailView)) error {
	errors, general, ok := blame(wrong, func(pointer string) string { return strings.TrimPrefix(pointer, "/") })
	if !ok {
		return wrong
	}
	v, err := x.detail(c.Context(), i)
	if err != nil {
		return err
	}
	v.Errors, v.General = errors, general
	fill(v)
	return x.showDetail(c, problem.Of(wrong).Status, v)
}

// infos describes the indexes of the table; vector indexes from inside.
func (x *Indexes) infos(ctx context.Context, i components.Index) ([]engine.IndexInfo, error) {
	if i.Type == string(schema.Vector) && len(i.Columns) == 1 {
		return x.db.VectorStats(ctx, i.Table, i.Columns[0])
	}
	return x.db.IndexStats(ctx, i.Table)
}

// tabs lead to the parts of a vector index's page.
func (v *detailView) tabs() []components.Tab {
	return []components.Tab{
		{Title: "Index", Path: v.Path(), Query: v.Query(), Active: v.Tab == "index"},
		{Title: "Recall and speed", Path: v.Path(), Query: append(v.Query(), "tab", "recall"), Active: v.Tab == "recall"},
	}
}

// facts is the definition, as far as the figures above don't have it.
func (v *detailView) facts() []fact {
	facts := []fact{{Name: "Table", Value: v.Table}, {Name: "Columns", Value: strings.Join(v.Columns, ", ")}, {Name: "Type", Value: v.Type, Note: typeNote(v.Info.Type)}}
	if v.Info.Unique {
		facts = append(facts, fact{Name: "Unique", Value: "yes", Note: "Two entities with the same value are refused; null never clashes."})
	}
	if v.Info.Type == schema.TTL {
		facts = append(facts, fact{Name: "Seconds after the time", Value: format.Count(v.Info.TTLSeconds), Note: "Entities vanish that long after the time in the column."})
	}
	return facts
}

// vectorView is a vector index from inside.
type vectorView struct {
	// Made is false while the index has no dimension: it takes that of its first
	// vector. Most of what follows is empty then.
	Made                      bool
	Engine, Kernel            string
	Live, Tombstones, Pending int

	Config schema.VectorConfig
	Memory int64
	// File is what lies in a file, Limit what Memory may become, 0 if there is no limit.
	File, Limit int64
	Stored      uint64
	Parts       []part
	Levels      []level
	// Degrees is the histogram of links on level 0.
	Degrees []bar
	Links   degrees
	// Loading is how far the reading of vectors after a start is; empty if it is done.
	Loading     string
	EfByDefault bool
	// Checkpoint is nil while none was made or tried.
	Checkpoint *engine.CheckpointInfo
	// Recall is nil while none was measured in the background.
	Recall *engine.RecallProbe
	// Device is nil for an index that doesn't use a GPU, and wouldn't if there were one.
	Device *engine.DeviceStats
}

// part is a share of the memory.
type part struct {
	Name, Note string
	Bytes      int64
}

// level is how many nodes end at a level of the graph.
type level struct{ Level, Nodes int }

// degrees sums a histogram up.
type degrees struct {
	Mean        float64
	Least, Most int
	// Alone is how many nodes have no link at all.
	Alone int
}

func vectorOf(info *engine.IndexInfo, ready engine.Readiness) *vectorView {
	v := &vectorView{Stored: info.SizeBytes, EfByDefault: info.EfByDefault, Checkpoint: info.Checkpoint, Recall: info.Recall, Limit: info.MemoryLimit, Device: info.Device}
	if info.Vector != nil {
		v.Config = *info.Vector
	}
	if info.Loading {
		v.Loading = format.Count(ready.Done) + " of " + format.Count(ready.Total) + " vectors of all indexes are read."
	}
	stats := info.VectorStats
	if stats == nil {
		return v
	}
	v.Made, v.Engine, v.Kernel = true, stats.Engine, stats.Kernel
	v.Live, v.Tombstones, v.Pending = stats.Live, stats.Tombstones, stats.Pending
	for name, bytes := range stats.Bytes {
		if name == engine.ColdVectors {
			v.File = bytes
		} else {
			v.Memory += bytes
		}
		v.Parts = append(v.Parts, part{partName(name), partNote(name), bytes})
	}
	slices.SortFunc(v.Parts, func(a, b part) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Name, b.Name)) })
	for l, n := range stats.Levels {
		v.Levels = append(v.Levels, level{l, n})
	}
	v.Degrees, v.Links = histogram(trimmed(stats.DegreeHistogram)), degreesOf(stats.DegreeHistogram)
	return v
}

// searchEngines are who may answer searches.
func searchEngines() []components.Option {
	return []components.Option{
		{Value: schema.EngineAuto, Label: "the quicker side (auto)"}, {Value: schema.EngineCPU, Label: "the CPU"}, {Value: schema.EngineGPU, Label: "the GPU, where there is one"},
	}
}

// searchedBy is who answers searches now, and why.
func (v *vectorView) searchedBy() fact {
	f := fact{Name: "Searched by", Value: "the CPU"}
	switch d := v.Device; {
	case d == nil && v.Config.Engine == schema.EngineAuto:
		f.Note = "vector_index.use_gpu is off"
	case d == nil:
	case d.State != engine.DeviceReady || d.Reason != "":
		f.Note = d.Reason
	case d.Always:
		f.Value = "the GPU"
	default:
		f.Value = "the CPU or the GPU"
		f.Note = "whichever is quicker for a search"
	}
	return f
}

func partName(name string) string {
	switch name {
	case "vectors":
		return "Vectors"
	case "links":
		return "Links"
	case "codes":
		return "Codes"
	case "neighbours":
		return "Codes of neighbours"
	case engine.ColdVectors:
		return "Vectors, in a file"
	case "ids":
		return "Ids and bookkeeping"
	}
	return name
}

func partNote(name string) string {
	switch name {
	case "vectors":
		return "32-bit floats, rows padded to whole cache lines"
	case "links":
		return "the graph's neighbours, by level"
	case "codes":
		return "what the graph is walked on"
	case "neighbours":
		return "by which all neighbours are judged at once"
	case engine.ColdVectors:
		return "for the last look at the best candidates; in memory as far as there is room"
	case "ids":
		return "entity ids, versions, levels, tombstones"
	}
	return ""
}

// trimmed is a histogram without the empty end.
func trimmed(counts []int) []int {
	end := len(counts)
	for end > 0 && counts[end-1] == 0 {
		end--
	}
	return counts[:end]
}

func degreesOf(histogram []int) degrees {
	d := degrees{Least: -1}
	nodes, links := 0, 0
	for degree, n := range histogram {
		if n == 0 {
			continue
		}
		if d.Least < 0 {
			d.Least = degree
		}
		d.Most = degree
		nodes += n
		links += n * degree
	}
	d.Least = max(d.Least, 0)
	if nodes > 0 {
		d.Mean = float64(links) / float64(nodes)
		if nodes > 1 {
			d.Alone = histogram[0]
		}
	}
	return d
}

// perVector is the memory of one slot, with tombstones counted.
func (v *vectorView) perVector() string {
	slots := int64(v.Live + v.Tombstones)
	if slots == 0 {
		return ""
	}
	text := format.Bytes(v.Memory/slots) + " per vector"
	if v.Limit > 0 {
		text += ", at most " + format.Bytes(v.Limit)
	}
	return text
}

// tombstoneNote says what tombstones there are mean.
func (v *vectorView) tombstoneNote() string {
	switch n, slots := v.Tombstones, v.Live+v.Tombstones; {
	case n == 0:
		return "nothing dead in the graph"
	default:
		return format.Percent(float64(n)/float64(slots)) + " of the slots"
	}
}

// createBody is what REST takes to make such an index.
func (v *detailView) createBody() string {
	ref := indexRef{Table: v.Table, Columns: v.Columns, Type: v.Type, Unique: v.Info.Unique}
	switch {
	case v.Vector != nil:
		c := v.Vector.Config
		ref.Config = &indexConfig{Dimension: c.Dimension, Metric: c.Metric, M: c.M, EfConstruction: c.EfConstruction, Ef: c.Ef}
	case v.Info.TTLSeconds != 0:
		ref.Config = &indexConfig{TTLSeconds: v.Info.TTLSeconds}
	}
	return text(ref)
}

type indexRef struct {
	Table   string       `json:"table"`
	Columns []string     `json:"columns"`
	Type    string       `json:"type"`
	Unique  bool         `json:"unique,omitzero"`
	Config  *indexConfig `json:"config,omitzero"`
}

type indexConfig struct {
	Dimension      int    `json:"dimension,omitzero"`
	Metric         string `json:"metric,omitzero"`
	M              int    `json:"m,omitzero"`
	EfConstruction int    `json:"ef_construction,omitzero"`
	Ef             int    `json:"ef,omitzero"`
	TTLSeconds     int64  `json:"ttl_seconds,omitzero"`
}

func text(ref indexRef) string {
	raw, err := json.Marshal(ref)
	if err != nil { // a column that isn't UTF-8; no index has one
		return ""
	}
	return string(raw)
}

// building says whether something works on the index now.
func (v *detailView) building() *jobs.Status { return v.State.Job }
