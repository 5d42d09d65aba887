package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vccdb/vccdb/internal/dataset"
	"github.com/vccdb/vccdb/vecindex"
)

// compareFlags are the flags of the subcommand compare.
type compareFlags struct {
	dir, sets, contestants, against string
	ef                              string
	k, m, efc, threads, rounds      int
	atLeast                         time.Duration
	compiler, cache, out            string

	efs []int
}

// usualEfs rise by about a fifth, so that little depends on how speeds between
// them are estimated.
const usualEfs = "10,12,14,17,20,24,28,32,38,46,56,66,80,96,112,128,160,192,224,256,320,384,448,512,640,768,896,1024,1280"

func setupCompare(flags *flag.FlagSet) func(context.Context, output) error {
	var f compareFlags
	flags.StringVar(&f.dir, "data", "data/bench-data", "folder of the data sets")
	flags.StringVar(&f.sets, "sets", "words,s768", "the data sets")
	flags.StringVar(&f.contestants, "contestants", "none,int8,fastscan,hnswlib,hnswlib-huge,faiss-flat,faiss-sq8", "our index by its quantization, and the peers hnswlib, the same on huge pages, faiss-flat and faiss-sq8")
	flags.StringVar(&f.against, "against", "hnswlib", "the contestant that the others are compared with")
	flags.StringVar(&f.ef, "ef", usualEfs, "widths of the search; a contestant goes up to the first that finds 99.5 %")
	flags.IntVar(&f.k, "k", 10, "neighbours per query")
	flags.IntVar(&f.m, "m", 16, "links per node")
	flags.IntVar(&f.efc, "efc", 200, "efConstruction")
	flags.IntVar(&f.threads, "threads", 2, "threads that build; one searches")
	flags.IntVar(&f.rounds, "rounds", 5, "how often each is measured around the recalls compared at, in turn")
	flags.DurationVar(&f.atLeast, "time", 200*time.Millisecond, "how long each measurement takes at least")
	flags.StringVar(&f.compiler, "cxx", "g++", "C++ compiler for the peers")
	flags.StringVar(&f.cache, "cache", "", "folder that keeps the indexes of peers for another time; empty builds them anew")
	flags.StringVar(&f.out, "out", "data/bench", "folder for SET.json, SET.svg and SET.md")
	return f.run
}

func (f *compareFlags) run(ctx context.Context, out output) error {
	var err error
	if f.efs, err = numbers("ef", f.ef); err != nil {
		return err
	}
	slices.Sort(f.efs)
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return err
	}
	for name := range strings.SplitSeq(f.sets, ",") {
		c, err := f.compare(ctx, name, out)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := c.write(filepath.Join(f.out, name)); err != nil {
			return err
		}
		if err := c.table(out.results); err != nil {
			return err
		}
	}
	return nil
}

// standing is a contestant and what is known of it.
type standing struct {
	Name string `json:"name"`
	// Version is that of the package of a peer.
	Version string `json:"version,omitempty"`
	Build   spent  `json:"build"`
	// BuiltBefore is when the index was built, if it came from the cache. Build is of
	// then too.
	BuiltBefore time.Time `json:"built_before,omitzero"`
	Memory      memory    `json:"memory"`
	Curve       curve     `json:"curve"`
	// At is what is read off the curve at each target recall.
	At []atRecall `json:"at"`
	// Why it wasn't measured; empty if it was.
	Missing string `json:"missing,omitempty"`

	process *contestant
}

// atRecall is a contestant at a recall; what isn't known is absent.
type atRecall struct {
	Recall float64 `json:"recall"`
	QPS    float64 `json:"qps,omitempty"`
	// Ratio is how many times as fast as the contestant that is compared with.
	Ratio float64 `json:"ratio,omitempty"`
}

// compare measures the contestants on one set.
func (f *compareFlags) compare(ctx context.Context, name string, out output) (*comparison, error) {
	set, err := loadBenchSet(f.dir, name)
	if err != nil {
		return nil, err
	}
	w, err := f.questions(set)
	if err != nil {
		return nil, err
	}
	c := &comparison{
		Time: time.Now().UTC(), Command: strings.Join(os.Args, " "), Machine: thisMachine(),
		Set: *set, K: f.k, M: f.m, EfConstruction: f.efc, Threads: f.threads, Against: f.against,
	}
	defer c.stop()
	for contestant := range strings.SplitSeq(f.contestants, ",") {
		s, err := f.start(ctx, contestant, set, out)
		if err != nil {
			return nil, err
		}
		c.Standings = append(c.Standings, s)
		if s.Missing == "" {
			if err := f.climb(s, w, out); err != nil {
				return nil, err
			}
		}
	}
	if err := f.takeTurns(c, w, out); err != nil {
		return nil, err
	}
	c.judge()
	return c, c.stop()
}

// questions reads the queries of a set and their exact neighbours.
func (f *compareFlags) questions(set *benchSet) (*workload, error) {
	w := &workload{name: set.Name}
	prefix := filepath.Join(f.dir, set.Name)
	var err error
	if w.queries, err = readFile(prefix+"_query.fvecs", 0, dataset.ReadFvecs); err != nil {
		return nil, err
	}
	return w, w.readTruth(prefix+"_groundtruth.ivecs", f.k)
}

// start makes one contestant and its index.
func (f *compareFlags) start(ctx context.Context, name string, set *benchSet, out output) (*standing, error) {
	s := &standing{Name: name}
	if p, isPeer := findPeer(name); isPeer {
		program, err := p.compile(ctx, f.compiler, filepath.Join(f.dir, "peers"))
		if err != nil {
			s.Missing = err.Error()
			fmt.Fprintf(out.progress, "%s: not measured: %v\n", set.Name, err)
			return s, ctx.Err()
		}
		s.Version = p.version(ctx)
		prefix := filepath.Join(f.dir, set.Name)
		s.process, err = startContestant(ctx, name, p.env, program, prefix+"_base.fvecs", prefix+"_query.fvecs", set.Metric,
			fmt.Sprint(f.m), fmt.Sprint(f.efc), fmt.Sprint(f.threads))
		if err != nil {
			return nil, err
		}
		return s, f.build(s, set, out)
	}
	if _, ours := vecindex.ParseQuantization(name); !ours {
		return nil, fmt.Errorf("there is no contestant %q", name)
	}
	var err error
	if s.process, err = f.startOurs(ctx, name, set); err != nil {
		return nil, err
	}
	return s, f.build(s, set, out)
}

// startOurs starts this program once more. The vectors of a quantized index lie in
// a file, as in the server.
func (f *compareFlags) startOurs(ctx context.Context, quantization string, set *benchSet) (*contestant, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cold := filepath.Join(f.dir, "cold", set.Name+"-"+quantization)
	if err := errors.Join(os.RemoveAll(cold), os.MkdirAll(cold, 0o755)); err != nil {
		return nil, err
	}
	prefix := filepath.Join(f.dir, set.Name)
	return startContestant(ctx, quantization, nil, program, "peer", "-base", prefix+"_base.fvecs", "-queries", prefix+"_query.fvecs",
		"-metric", set.Metric, "-quantization", quantization, "-cold", cold,
		"-m", fmt.Sprint(f.m), "-efc", fmt.Sprint(f.efc), "-threads", fmt.Sprint(f.threads))
}

// build makes the index, or takes it from the cache.
func (f *compareFlags) build(s *standing, set *benchSet, out output) error {
	kept := filepath.Join(f.cache, fmt.Sprintf("%s-%d-%s-m%d-efc%d", set.Name, set.Vectors, s.Name, f.m, f.efc))
	_, isPeer := findPeer(s.Name)
	caching := f.cache != "" && isPeer
	if caching {
		text, err1 := os.ReadFile(kept + ".json")
		file, err2 := os.Stat(kept + ".json")
		if err1 == nil && err2 == nil && json.Unmarshal(text, &s.Build) == nil {
			s.BuiltBefore = file.ModTime().UTC()
			_, err := s.process.ask("load "+kept, "loaded")
			return s.settle(err, set, out)
		}
	}
	var err error
	if s.Build, err = s.process.build(); err == nil && caching {
		err = f.keep(s, kept)
	}
	return s.settle(err, set, out)
}

func (f *compareFlags) keep(s *standing, name string) error {
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return err
	}
	if _, err := s.process.ask("save "+name, "saved"); err != nil {
		return err
	}
	return writeFile(name+".json", func(w io.Writer) error { return json.NewEncoder(w).Encode(s.Build) })
}

// settle notes what the process has in memory once its index is there.
func (s *standing) settle(err error, set *benchSet, out output) error {
	if err != nil {
		return err
	}
	before := ""
	if !s.BuiltBefore.IsZero() {
		before = ", on " + s.BuiltBefore.Format(time.DateOnly) + " (from the cache)"
	}
	fmt.Fprintf(out.progress, "%s: %s built in %.1f s, %.1f s of processor time%s\n", set.Name, s.Name, s.Build.Seconds, s.Build.CPUSeconds, before)
	s.Memory, err = s.process.memory()
	return err
}

// enough is the recall at which a curve ends.
const enough = 0.995

// climb measures the curve once, up to the first width that finds enough.
func (f *compareFlags) climb(s *standing, w *workload, out output) error {
	for _, ef := range f.efs {
		found, err := s.process.search(w, f.k, ef, 0)
		if err != nil {
			return err
		}
		s.Curve.add(found)
		if found.recall >= enough {
			break
		}
	}
	last := s.Curve[len(s.Curve)-1]
	fmt.Fprintf(out.progress, "%s: %s finds %.4f at ef=%d\n", w.name, s.Name, last.Recall, last.Ef)
	return nil
}

// takeTurns measures all contestants where their curves pass the recalls that they
// are compared at: one after the other, several times, beginning with another one
// each time, so that what else the machine does meets all of them alike.
func (f *compareFlags) takeTurns(c *comparison, w *workload, out output) error {
	var running []*standing
	efs := map[*standing][]int{}
	steps := 0
	for _, s := range c.Standings {
		if s.Missing == "" {
			running = append(running, s)
			efs[s] = s.Curve.bracket(targets())
			s.Curve.forget(efs[s])
			steps = max(steps, len(efs[s]))
		}
	}
	bar := newProgress(out.progress, "rounds", f.rounds)
	defer bar.end()
	for round := range f.rounds {
		for step := range steps {
			for i := range running {
				s := running[(i+round)%len(running)]
				if step >= len(efs[s]) {
					continue
				}
				found, err := s.process.search(w, f.k, efs[s][step], f.atLeast)
				if err != nil {
					return err
				}
				s.Curve.add(found)
			}
		}
		bar.at(round + 1)
	}
	return nil
}
