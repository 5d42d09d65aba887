package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the tests start this program as compare does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "peer" {
		main()
		return
	}
	os.Exit(m.Run())
}

// comparing compares on a small set and returns what was written.
func comparing(t *testing.T, contestants string, args ...string) (*comparison, string) {
	t.Helper()
	dir := t.TempDir()
	makeData(t, "-dir", dir, "-only", "s128", "-most", "2000")
	var printed bytes.Buffer
	err := run(t.Context(), append([]string{"compare", "-data", dir, "-out", dir, "-sets", "s128", "-contestants", contestants,
		"-ef", "10,20,40,80,160,320,640", "-rounds", "2", "-time", "1ms"}, args...), output{&printed, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "s128.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := new(comparison)
	if err := json.Unmarshal(text, c); err != nil {
		t.Fatal(err)
	}
	checkSVG(t, filepath.Join(dir, "s128.svg"), contestants)
	return c, printed.String()
}

// checkSVG: it is XML and has a curve for every contestant.
func checkSVG(t *testing.T, name, contestants string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			lines++
		}
	}
	if want := strings.Count(contestants, ",") + 1; lines > want || lines == 0 {
		t.Errorf("%d curves of %s", lines, contestants)
	}
}

// checkStanding: a graph of 2,000 vectors finds nearly all of them, and everything
// about it is known.
func checkStanding(t *testing.T, s *standing) {
	t.Helper()
	last := s.Curve[len(s.Curve)-1]
	if last.Recall < 0.98 || last.Recall > 1 || last.QPS <= 0 || last.WallQPS <= 0 {
		t.Errorf("%s ends with %+v", s.Name, last)
	}
	if s.Build.Seconds <= 0 || s.Build.CPUSeconds <= 0 || s.Memory.Anonymous <= 0 || s.Memory.File <= 0 || len(s.At) != len(targets()) {
		t.Errorf("%+v", s)
	}
	for _, at := range s.At {
		if at.QPS <= 0 || at.Ratio <= 0 {
			t.Errorf("%s: %+v", s.Name, at)
		}
	}
}

func TestCompareOurs(t *testing.T) {
	c, printed := comparing(t, "none,int8", "-against", "none")
	if len(c.Standings) != 2 || c.Set.Vectors != 2000 {
		t.Fatalf("%+v", c)
	}
	for _, s := range c.Standings {
		checkStanding(t, s)
		for _, at := range s.At {
			if s.Name == "none" && at.Ratio != 1 {
				t.Errorf("it is %v times as fast as itself", at.Ratio)
			}
		}
	}
	if !strings.Contains(printed, "s128: 2000 vectors") || !strings.Contains(printed, "| int8 ") {
		t.Error(printed)
	}
}

// TestComparePeers compares with a peer of each source, if it can be compiled here.
func TestComparePeers(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling the peers takes a while")
	}
	for _, name := range []string{"hnswlib-huge", "faiss-sq8"} {
		t.Run(name, func(t *testing.T) {
			p, _ := findPeer(name)
			if exec.Command("dpkg-query", "-W", p.pkg, "g++").Run() != nil {
				t.Skipf("%s or g++ isn't installed; go tool task bench:deps does that", p.pkg)
			}
			cache := t.TempDir()
			c, _ := comparing(t, "none,"+p.name, "-against", p.name, "-cache", cache)
			for _, s := range c.Standings {
				checkStanding(t, s)
			}
			again, _ := comparing(t, p.name, "-against", p.name, "-cache", cache)
			if s := again.Standings[0]; s.BuiltBefore.IsZero() || s.Build != c.Standings[1].Build || s.Version == "" {
				t.Errorf("with the cache: %+v", s)
			}
			checkStanding(t, again.Standings[0])
		})
	}
}

// TestCompareWithoutPeer: one that can't be compiled is named and left out.
func TestCompareWithoutPeer(t *testing.T) {
	c, printed := comparing(t, "none,hnswlib", "-cxx", "no-such-compiler")
	if c.Standings[1].Missing == "" || !strings.Contains(printed, "hnswlib wasn't measured: ") || !strings.Contains(printed, "bench:deps") {
		t.Error(printed)
	}
	if at := c.Standings[0].At[0]; at.QPS <= 0 || at.Ratio != 0 {
		t.Errorf("%+v", at)
	}
	if err := run(t.Context(), []string{"compare", "-sets", "none"}, silent); err == nil {
		t.Error("a set that isn't there was compared on")
	}
}

// TestCachedPeers: what was built by an earlier run is said to be, and its seconds
// aren't held against those of this one.
func TestCachedPeers(t *testing.T) {
	before := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	c := &comparison{Against: "hnswlib", Standings: []*standing{
		{Name: "int8", Build: spent{10, 20}, Memory: memory{1 << 20, 0}},
		{Name: "hnswlib", Version: "0.6", Build: spent{50, 100}, BuiltBefore: before, Memory: memory{4 << 20, 0}},
		{Name: "faiss-flat", Version: "1.7", Build: spent{40, 80}, BuiltBefore: before.AddDate(0, 0, 1), Memory: memory{2 << 20, 0}},
	}}
	var printed bytes.Buffer
	if err := c.table(&printed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| int8           |    10.0 |   20.0 |             1 |        0 |       - |    5.00 |     0.25 |",
		"| hnswlib *      |    50.0 |  100.0 |             4 |        0 |    1.00 |    1.00 |     1.00 |",
		"| faiss-flat *   |    40.0 |   80.0 |             2 |        0 |       - |    1.25 |     0.50 |",
		"Versions: hnswlib 0.6, faiss-flat 1.7.",
		"built by an earlier run (hnswlib on 2026-07-01, faiss-flat on 2026-07-02)",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, printed.String())
		}
	}
}

func TestCurve(t *testing.T) {
	var slow, fast curve
	for round := range 3 {
		for i, recall := range []float64{0.92, 0.8, 0.98} {
			ef := []int{20, 10, 40}[i]
			qps := float64(1000 * (round + 1) / ef)
			slow.add(searched{ef, recall, qps, qps / 2})
			fast.add(searched{ef, recall, 3 * qps, qps})
		}
	}
	if slow[0].Ef != 10 || slow[2].Ef != 40 || slow[1].QPS != 100 || slow[1].WallQPS != 50 {
		t.Fatalf("%+v", slow)
	}
	qps := func(p curvePoint) float64 { return p.QPS }
	// 0.96 misses as many times less than 0.92 as 0.98 misses less than 0.96.
	for recall, want := range map[float64]float64{0.7: 200, 0.8: 200, 0.92: 100, 0.96: math.Sqrt(100 * 50), 0.98: 50} {
		if got := slow.at(recall, qps); math.Abs(got-want) > 1e-6 {
			t.Errorf("at %v: %v, want %v", recall, got, want)
		}
		if got := fast.ratio(slow, recall); math.Abs(got-3) > 1e-9 {
			t.Errorf("at %v it is %v times as fast", recall, got)
		}
	}
	if got := slow.at(0.99, qps); !math.IsNaN(got) {
		t.Errorf("at a recall that isn't reached: %v", got)
	}
	if got := slow.bracket([]float64{0.7, 0.95, 0.99}); len(got) != 3 || got[0] != 10 || got[1] != 20 || got[2] != 40 {
		t.Errorf("the widths around are %v", got)
	}
	slow.forget([]int{20})
	if len(slow[1].Rounds) != 0 || len(slow[0].Rounds) != 3 || slow[1].Recall != 0.92 {
		t.Errorf("%+v", slow)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		list []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.list); got != c.want {
			t.Errorf("the median of %v is %v", c.list, got)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

// TestPeerRefuses: requests that it doesn't know, and what it can't read.
func TestPeerRefuses(t *testing.T) {
	dir := t.TempDir()
	makeData(t, "-dir", dir, "-only", "s128", "-most", "300")
	base, queries := filepath.Join(dir, "s128_base.fvecs"), filepath.Join(dir, "s128_query.fvecs")
	for want, args := range map[string][]string{
		"-metric":       {"-metric", "hamming"},
		"-quantization": {"-quantization", "pq"},
		"no such file":  {"-queries", filepath.Join(dir, "none")},
	} {
		if err := run(t.Context(), append([]string{"peer", "-base", base, "-queries", queries}, args...), silent); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", args, err, want)
		}
	}
	p := ourPeer{base: base, queries: queries, metric: "l2", quantization: "none"}
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{"fly\n", "search 10 10 0\n", "build now\n"} {
		if err := p.serve(t.Context(), strings.NewReader(request), io.Discard); err == nil {
			t.Errorf("%q: no error", request)
		}
	}
}
