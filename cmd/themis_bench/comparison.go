package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// comparison is what came of comparing indexes on one set.
type comparison struct {
	Time           time.Time   `json:"time"`
	Command        string      `json:"command"`
	Machine        machine     `json:"machine"`
	Set            benchSet    `json:"set"`
	K              int         `json:"k"`
	M              int         `json:"m"`
	EfConstruction int         `json:"ef_construction"`
	Threads        int         `json:"threads"`
	Against        string      `json:"against"`
	Standings      []*standing `json:"contestants"`
}

// stop ends all contestants that run.
func (c *comparison) stop() error {
	var all error
	for _, s := range c.Standings {
		if s.process != nil {
			all = errors.Join(all, s.process.stop())
			s.process = nil
		}
	}
	return all
}

// against is the contestant that the others are compared with; nil if it wasn't
// measured.
func (c *comparison) against() *standing {
	i := slices.IndexFunc(c.Standings, func(s *standing) bool { return s.Name == c.Against && s.Missing == "" })
	if i < 0 {
		return nil
	}
	return c.Standings[i]
}

// judge reads the speeds off the curves.
func (c *comparison) judge() {
	other := c.against()
	for _, s := range c.Standings {
		if s.Missing != "" {
			continue
		}
		for _, recall := range targets() {
			at := atRecall{Recall: recall, QPS: known(s.Curve.at(recall, func(p curvePoint) float64 { return p.QPS }))}
			if other != nil {
				at.Ratio = known(s.Curve.ratio(other.Curve, recall))
			}
			s.At = append(s.At, at)
		}
	}
}

// known is x, and 0 where there is none.
func known(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}

// write writes the comparison as NAME.json, NAME.md and NAME.svg.
func (c *comparison) write(name string) error {
	return errors.Join(
		writeFile(name+".json", func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(c)
		}),
		writeFile(name+".md", c.table),
		writeFile(name+".svg", c.plot),
	)
}

// table writes the comparison as two Markdown tables, which read well in a
// terminal too.
func (c *comparison) table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d vectors of dimension %d, %s; %d queries, median local intrinsic dimension %.1f\n",
		c.Set.Name, c.Set.Vectors, c.Set.Dimension, c.Set.Metric, c.Set.Queries, c.Set.LocalDimension)
	fmt.Fprintf(&b, "M=%d, efConstruction=%d, built by %d threads, searched by one; %s, %d cores\n\n",
		c.M, c.EfConstruction, c.Threads, c.Machine.CPU, c.Machine.Cores)
	fmt.Fprintf(&b, "| %-14s | build s |  CPU s | anonymous MiB | file MiB | build x |   CPU x | memory x |\n", "index")
	fmt.Fprint(&b, "|:---------------|--------:|-------:|--------------:|---------:|--------:|--------:|---------:|\n")
	c.builds(&b)
	c.origins(&b)
	fmt.Fprintf(&b, "\nQPS of one thread at recall@%d, and how many times that of %s\n\n", c.K, c.Against)
	c.speeds(&b)
	for _, s := range c.Standings {
		if s.Missing != "" {
			fmt.Fprintf(&b, "\n%s wasn't measured: %s\n", s.Name, s.Missing)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *comparison) builds(b *strings.Builder) {
	other := c.against()
	for _, s := range c.Standings {
		if s.Missing != "" {
			continue
		}
		build, cpu, ram := "-", "-", "-"
		if other != nil {
			// Seconds of another run are of another machine, as busy as that was then.
			if s.BuiltBefore.Equal(other.BuiltBefore) {
				build = fmt.Sprintf("%.2f", other.Build.Seconds/s.Build.Seconds)
			}
			cpu = fmt.Sprintf("%.2f", other.Build.CPUSeconds/s.Build.CPUSeconds)
			ram = fmt.Sprintf("%.2f", float64(s.Memory.Anonymous)/float64(other.Memory.Anonymous))
		}
		name := s.Name
		if !s.BuiltBefore.IsZero() {
			name += " *"
		}
		fmt.Fprintf(b, "| %-14s | %7.1f | %6.1f | %13d | %8d | %7s | %7s | %8s |\n", name,
			s.Build.Seconds, s.Build.CPUSeconds, s.Memory.Anonymous>>20, s.Memory.File>>20, build, cpu, ram)
	}
}

// origins says which versions the peers are of, and which weren't built now.
func (c *comparison) origins(b *strings.Builder) {
	var versions, before []string
	for _, s := range c.Standings {
		if s.Missing != "" {
			continue
		}
		if s.Version != "" {
			versions = append(versions, s.Name+" "+s.Version)
		}
		if !s.BuiltBefore.IsZero() {
			before = append(before, s.Name+" on "+s.BuiltBefore.Format(time.DateOnly))
		}
	}
	if len(versions) > 0 {
		fmt.Fprintf(b, "\nVersions: %s.\n", strings.Join(versions, ", "))
	}
	if len(before) > 0 {
		fmt.Fprintf(b, "\n\\* built by an earlier run (%s) and read from a file by this one: the seconds are of that run, the memory is that after reading.\n",
			strings.Join(before, ", "))
	}
}

func (c *comparison) speeds(b *strings.Builder) {
	fmt.Fprintf(b, "| %-12s |", "index")
	for _, recall := range targets() {
		fmt.Fprintf(b, " %9.2f |       x |", recall)
	}
	fmt.Fprint(b, "\n|:-------------|")
	for range targets() {
		fmt.Fprint(b, "----------:|--------:|")
	}
	fmt.Fprintln(b)
	for _, s := range c.Standings {
		if s.Missing != "" {
			continue
		}
		fmt.Fprintf(b, "| %-12s |", s.Name)
		for _, at := range s.At {
			fmt.Fprintf(b, " %9s | %7s |", orDash("%.0f", at.QPS), orDash("%.2f", at.Ratio))
		}
		fmt.Fprintln(b)
	}
}

// orDash prints a number that is known.
func orDash(format string, x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}
