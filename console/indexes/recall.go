package indexes

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/internal/errs"
)

// recallView is what is known of an index's recall.
type recallView struct {
	// Sample, K and Efs are what stands in the form.
	Sample, K, Efs string
	// Running is a measurement under way, of whichever index; nil if there is none.
	Running *jobs.Status
	// Curve is what was measured last, or what the page's URL names; nil if
	// nothing was.
	Curve *curve
	// Others are earlier measurements of the index.
	Others []earlier
}

// earlier is a measurement that was made before.
type earlier struct {
	Job  jobs.Status
	Text string
}

// curve is a measurement.
type curve struct {
	engine.RecallCurve
	Job jobs.Status
	// Enough is the least ef with a recall of goodRecall, 0 if none has it.
	Enough int
}

// goodRecall is where more rarely matters to who reads the results.
const goodRecall = 0.99

// recallOf gathers the measurements of an index among the known jobs, newest
// first. Want is the id of one to show, empty for the newest that measured
// anything.
func recallOf(known []jobs.Status, i components.Index, want string) recallView {
	v := recallView{Sample: "100", K: "10"}
	for n := range known {
		s := &known[n]
		if s.Kind != engine.RecallCurveKind {
			continue
		}
		if s.State == jobs.Running {
			v.Running = s
		}
		c, ok := curveOf(s)
		if !ok || c.Table != i.Table || !slices.Equal(i.Columns, []string{c.Column}) {
			continue
		}
		if v.Curve == nil && (want == "" || want == s.ID) {
			v.Curve = c
			continue
		}
		v.Others = append(v.Others, earlier{*s, fmt.Sprintf("k %d, %s", c.K, format.Plural(c.Vectors, "vector", "vectors"))})
	}
	if v.Curve != nil {
		v.Sample, v.K = strconv.Itoa(v.Curve.Sample), strconv.Itoa(v.Curve.K)
	}
	return v
}

// curveOf reads a job's result; false if it has measured no point.
func curveOf(s *jobs.Status) (*curve, bool) {
	c := &curve{Job: *s}
	if s.Result == nil || json.Unmarshal(s.Result, &c.RecallCurve) != nil || len(c.Points) == 0 {
		return nil, false
	}
	for _, p := range c.Points {
		if p.Recall >= goodRecall && c.Enough == 0 {
			c.Enough = p.Ef
		}
	}
	return c, true
}

// scanned is the least ef from which on a search compared its query with nearly
// every vector, 0 if none did: the graph is given up where it costs as much.
func (c *curve) scanned() int {
	from := 0
	for _, p := range slices.Backward(c.Points) {
		if p.Distances < 0.99*float64(c.Vectors) {
			break
		}
		from = p.Ef
	}
	return from
}

// verdict says in a sentence what the curve means for the index.
func (c *curve) verdict() string {
	var now *engine.RecallPoint
	for i := range c.Points {
		if c.Points[i].Ef == c.Ef {
			now = &c.Points[i]
		}
	}
	text := ""
	if now != nil {
		text = fmt.Sprintf("With ef %d searches find %s of the %d nearest, in %s half of the time. ", c.Ef, format.Percent(now.Recall), c.K, format.Millis(now.P50Ms))
	}
	switch {
	case c.Enough == 0:
		return text + "No ef measured here finds 99 %; try larger ones, or build the index with a larger m."
	case now != nil && now.Recall >= goodRecall && c.Enough < c.Ef:
		return text + fmt.Sprintf("An ef of %d finds 99 %% already, with less work.", c.Enough)
	case now != nil && now.Recall >= goodRecall:
		return text + "That is plenty."
	}
	return text + fmt.Sprintf("An ef of %d is the least here that finds 99 %%.", c.Enough)
}

// curveData is what the script draws.
type curveData struct {
	X      string        `json:"x"`
	Xs     []int         `json:"xs"`
	Series []curveSeries `json:"series"`
}

type curveSeries struct {
	Name   string            `json:"name"`
	Unit   string            `json:"unit"`
	Values components.Values `json:"values"`
}

func (c *curve) data() curveData {
	d := curveData{X: "ef", Series: []curveSeries{{Name: "Recall", Unit: "percent"}, {Name: "p50", Unit: "ms"}, {Name: "p99", Unit: "ms"}}}
	for _, p := range c.Points {
		d.Xs = append(d.Xs, p.Ef)
		for i, v := range []float64{100 * p.Recall, p.P50Ms, p.P99Ms} {
			d.Series[i].Values = append(d.Series[i].Values, v)
		}
	}
	return d
}

func (x *Indexes) measure(c fiber.Ctx) error {
	f, err := page.FormOf(c)
	if err != nil {
		return err
	}
	i, err := vectorIndexOf(f)
	if err != nil {
		return err
	}
	if err := x.startMeasuring(c.Context(), i, f); err != nil {
		return x.again(c, i, err, func(v *detailView) {
			v.Tab, v.Recall = "recall", recallOf(x.db.Jobs().List(), i, "")
			v.Recall.Sample, v.Recall.K, v.Recall.Efs = f.Text("sample"), f.Text("k"), f.Text("efs")
		})
	}
	return x.frame.Done(c, "", i.Path(), append(i.Query(), "tab", "recall")...)
}

// startMeasuring starts what the form asks for, and waits for it a little.
func (x *Indexes) startMeasuring(ctx context.Context, i components.Index, f page.Form) (err error) {
	req := engine.RecallCurveRequest{Table: i.Table, Column: i.Columns[0]}
	if req.Sample, err = positive(f, "sample"); err != nil {
		return err
	}
	if req.K, err = positive(f, "k"); err != nil {
		return err
	}
	for _, text := range strings.FieldsFunc(f.Text("efs"), func(r rune) bool { return r == ' ' || r == ',' || r == ';' }) {
		ef, err := strconv.Atoi(text)
		if err != nil {
			return errs.Field("invalid_ef", "/efs", "%q is no whole number; nothing was measured", format.Shorten(text, 40))
		}
		req.Efs = append(req.Efs, ef)
	}
	if len(req.Efs) > 0 { // the one in use is what others are compared with
		def, err := x.db.VectorConfig(ctx, i.Table, i.Columns[0])
		if err != nil {
			return err
		}
		req.Efs = append(req.Efs, max(def.Vector.Ef, 1))
	}
	job, err := x.db.StartRecallCurve(req)
	if err != nil {
		return err
	}
	_, err = page.Soon(ctx, job)
	return err
}

// positive is a field with a whole number of 1 or more; empty is 0, the default.
func positive(f page.Form, name string) (int, error) {
	text := f.Text(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errs.Field("invalid_"+name, "/"+name, "%q is no whole number of 1 or more; nothing was measured", format.Shorten(text, 40))
	}
	return n, nil
}
