package devices

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/ops"
)

func TestIndexStates(t *testing.T) {
	for _, test := range []struct {
		index ops.GPUIndex
		want  State
	}{
		{ops.GPUIndex{State: "ready"}, State{Kind: "ok", Word: "ready"}},
		{ops.GPUIndex{State: "ready", Reason: "the device failed a short time ago"}, State{Kind: "warn", Word: "resting", Reason: "The device failed a short time ago."}},
		{ops.GPUIndex{State: "uploading", Reason: "half"}, State{Kind: "info", Word: "uploading", Reason: "Half."}},
		{ops.GPUIndex{State: "waiting"}, State{Word: "waiting"}},
		{ops.GPUIndex{State: "too_large"}, State{Kind: "warn", Word: "too large", Todo: "Raise gpu.memory_limit_mb"}},
		{ops.GPUIndex{State: "distrusted"}, State{Kind: "danger", Word: "distrusted", Todo: "The device gave a wrong answer"}},
	} {
		got := indexState(&test.index)
		if !strings.HasPrefix(got.Todo, test.want.Todo) {
			t.Errorf("%s: %q", test.index.State, got.Todo)
		}
		got.Todo, test.want.Todo = "", ""
		if got != test.want {
			t.Errorf("%+v, want %+v", got, test.want)
		}
	}
}

func TestAnswered(t *testing.T) {
	if rows := answered(&ops.GPUStats{Fallbacks: map[string]uint64{"waiting": 0}}); rows != nil {
		t.Errorf("before the first search: %+v", rows)
	}
	rows := answered(&ops.GPUStats{Searches: 60, Fallbacks: map[string]uint64{"waiting": 10, "cheaper": 30, "few": 0, "a new one": 10}})
	want := []Answered{
		{By: "GPU", Why: "the device answered", Count: "60", Share: 60. / 110, Device: true},
		{By: "CPU", Why: "it is quicker for such searches", Count: "30", Share: 30. / 110},
		{By: "CPU", Why: "a new one", Count: "10", Share: 10. / 110},
		{By: "CPU", Why: "there was no worker", Count: "10", Share: 10. / 110},
	}
	if len(rows) != len(want) {
		t.Fatalf("%+v", rows)
	}
	for i := range want {
		if rows[i] != want[i] {
			t.Errorf("%+v, want %+v", rows[i], want[i])
		}
	}
}

func TestBatches(t *testing.T) {
	if bars := batches([]ops.BatchCount{{UpTo: 1}, {}}); len(bars) != 0 {
		t.Errorf("before the first: %+v", bars)
	}
	bars := batches([]ops.BatchCount{{UpTo: 1, Count: 1_000_000}, {UpTo: 2}, {UpTo: 4, Count: 1}, {UpTo: 8}, {UpTo: 16}, {UpTo: 32}, {UpTo: 64}, {UpTo: 128}, {}})
	if len(bars) != fewestBars || bars[0].Label != "1" || bars[0].Height != "120.0" || bars[1].Height != "0.0" || bars[2].Label != "3–4" || bars[2].Height != "1.5" {
		t.Errorf("%+v", bars)
	}
	if said := batchesSpoken(bars); said != "Passes by how many searches they answered at once. 1: 1,000,000; 3–4: 1." {
		t.Error(said)
	}
	bars = batches([]ops.BatchCount{{UpTo: 1}, {UpTo: 2}, {Count: 3}})
	if len(bars) != 3 || bars[2].Label != "3 and more" {
		t.Errorf("%+v", bars)
	}
}

func point(efFrom, ef int, from, to float64, cpu, gpu ops.Cost, choice string) ops.CurvePoint {
	return ops.CurvePoint{Exact: ef == 0, EfFrom: efFrom, Ef: ef, ShareFrom: from, ShareTo: to, CPU: cpu, GPU: gpu, Choice: choice}
}

func TestCurves(t *testing.T) {
	none := ops.Cost{}
	i := &ops.GPUIndex{Table: "t", Column: "v", Curve: []ops.CurvePoint{
		point(0, 0, 1, 1, ops.Cost{MedianUs: 1000, Samples: 1}, none, "cpu"),
		point(33, 64, 1, 1, ops.Cost{MedianUs: 100, Samples: 50}, ops.Cost{MedianUs: 1000, Samples: 9}, "cpu"),
		point(33, 64, .25, 1, ops.Cost{MedianUs: 10_000, Samples: 5}, ops.Cost{MedianUs: 1000, Samples: 80}, "gpu"),
		point(33, 64, 0, .25, none, ops.Cost{MedianUs: 1000, Samples: 1}, ""),
	}}
	curves := curvesOf(3, i)
	if len(curves) != 2 || curves[0].Kind != "ef 33 to 64" || curves[1].Kind != "exact searches" || curves[0].ID != "curve-3-0" {
		t.Fatalf("%+v", curves)
	}
	c := &curves[0]
	if said := c.verdict(); said != "The GPU answers where the filter lets through: 25 % to 100 %." {
		t.Error(said)
	}
	if said := curves[1].verdict(); said != "The CPU answers all of these." {
		t.Error(said)
	}
	if said := c.spoken(); !strings.Contains(said, "no filter: CPU 0.1 ms, GPU 1 ms; 25 % to 100 %: CPU 10 ms, GPU 1 ms; up to 25 %: CPU –, GPU 1 ms.") {
		t.Error(said)
	}
	d := c.drawing()
	if d.Lines != [2]string{"0.0,158.0 300.0,2.0", "0.0,80.0 300.0,80.0 600.0,80.0"} || d.Low != .1 || d.High != 10 {
		t.Errorf("%+v", d)
	}
	text, err := json.Marshal(c.data())
	const want = `{"x":"let through by the filter","xs":[0,1,2],"marks":["no filter","≤ 100 %","≤ 25 %"],"log":true,` +
		`"series":[{"name":"CPU","unit":"ms","values":[0.1,10,null]},{"name":"GPU","unit":"ms","values":[1,1,1]}]}`
	if err != nil || string(text) != want {
		t.Errorf("%s, want %s (%v)", text, want, err)
	}
	empty := Curve{Bands: []Band{{Name: "no filter"}}}
	if d := empty.drawing(); d != (drawing{}) || math.IsInf(d.Low, 0) {
		t.Errorf("nothing measured: %+v", d)
	}
	if said := (&Curve{Bands: []Band{{Choice: "gpu"}}}).verdict(); said != "The GPU answers all of these." {
		t.Error(said)
	}
}

// TestIndexesAreShown: what is known of each index stands on the page.
func TestIndexesAreShown(t *testing.T) {
	recall := 0.999
	stats := ops.GPUStats{
		Wanted: true, Enabled: true, Worker: ops.WorkerStats{State: "running"}, Searches: 9000, Fallbacks: map[string]uint64{"cheaper": 1000},
		Indexes: []ops.GPUIndex{
			{Table: "words", Column: "embedding", State: "ready", Vectors: 20_000, Dirty: 3, Bytes: 12 << 20, Searches: 9000, Fallbacks: map[string]uint64{"cheaper": 1000}, Recall: &recall,
				Curve: []ops.CurvePoint{point(33, 64, 1, 1, ops.Cost{MedianUs: 100, Samples: 50}, ops.Cost{MedianUs: 50, Samples: 9}, "gpu")}},
			{Table: "big", Column: "v", State: "too_large", Reason: "it takes 90 GiB", Always: true},
		},
	}
	s := newSite(t)
	v := newView(&stats, 0, time.Now())
	s.Reads(consoletest.Render(t, auth.ReadOnly, content(v)), []string{
		"Searches on the GPU", "9,000", "90 % of the searches of these indexes", "column=embedding&amp;table=words&amp;type=vector", "words.embedding", "ready", "20,000", "3", "12 MiB", "9,000", "1,000", "99.9 %",
		"big.v", "always, by its engine", "too large", "It takes 90 GiB.", "Raise gpu.memory_limit_mb",
		"GPU", "the device answered", "CPU", "it is quicker for such searches", "CPU or GPU: ef 33 to 64", "The GPU answers all of these.", "0.1 ms", "50", "50 µs",
	}, "Not measured yet")
}
