package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// restartFlags are the flags of the subcommand restart.
type restartFlags struct {
	scenarioFlags
	server  serverFlags
	kills   int
	writing time.Duration
	batch   int
	writers int
	check   int
	window  time.Duration
	seed    uint64
}

func setupRestart(flags *flag.FlagSet) func(context.Context, output) error {
	var f restartFlags
	f.register(flags)
	f.server.register(flags, "data/restart")
	flags.IntVar(&f.kills, "kills", 3, "how often the server is killed, every other time while it saves the index")
	flags.DurationVar(&f.writing, "writing", 2*time.Second, "how long vectors are replaced before a kill at most; the moment is random")
	flags.IntVar(&f.batch, "batch", 200, "entities per request of the writers")
	flags.IntVar(&f.writers, "writers", 2, "connections that write")
	flags.IntVar(&f.check, "check", 5000, "how many of the acknowledged entities are looked for after a kill: half of them the last ones")
	flags.DurationVar(&f.window, "window", 250*time.Millisecond, "how long searches are counted for one speed")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the moments")
	return f.run
}

// restarted is one kill and what came after it. Seconds count from the start of the
// server.
type restarted struct {
	// Saving is set if the server was writing a checkpoint of the index when it was
	// killed, Acknowledged is how many vectors it had replaced since the last one.
	Saving       bool `json:"saving"`
	Acknowledged int  `json:"acknowledged"`
	// Ready is when it answers that it is ready, FirstAnswer when it first finds what
	// was written last, FullSpeed when searches are as fast as before the kill again: 0
	// if they weren't within a minute.
	Ready       float64 `json:"ready_seconds"`
	FirstAnswer float64 `json:"first_answer_seconds"`
	FullSpeed   float64 `json:"full_speed_seconds"`
	// Pending is how many vectors weren't linked after the first answer.
	Pending int `json:"pending"`
	// Recall is that of the first searches, RecallBefore that before the kill.
	Recall       float64 `json:"recall"`
	RecallBefore float64 `json:"recall_before"`
	QPS          float64 `json:"qps"`
	QPSBefore    float64 `json:"qps_before"`
	// Lost counts acknowledged vectors that an exact search doesn't find, of Checked.
	// Missed ones are found by an exact search only.
	Lost    int `json:"lost"`
	Missed  int `json:"missed"`
	Checked int `json:"checked"`
}

// restarts is a server that is killed again and again.
type restarts struct {
	*restartFlags
	output
	w       *workload
	table   *overHTTP
	running *process
	rng     *rand.Rand
	next    int           // the entity that is written next
	saved   time.Duration // how long the last checkpoint took
}

func (f *restartFlags) run(ctx context.Context, out output) error {
	if f.server.start == "" {
		return errors.New("say with -start where themis_server is: a server of its own is killed")
	}
	w, err := f.load()
	if err != nil {
		return err
	}
	if len(w.truth) == 0 {
		if w.truth, err = exactNeighbours(ctx, w, f.k); err != nil {
			return err
		}
	}
	c, started, err := f.server.connect(ctx, f.writers+1)
	if err != nil {
		return err
	}
	if started == nil {
		return fmt.Errorf("a server runs at %s already; choose another -port", c.base)
	}
	r := &restarts{restartFlags: f, output: out, w: w, running: started, rng: rand.New(rand.NewPCG(f.seed, 0))}
	rows, err := r.all(ctx, c)
	if err = errors.Join(err, r.running.stop()); err != nil {
		return err
	}
	if err := f.finish(rows); err != nil {
		return err
	}
	fmt.Fprintf(out.results, "%s: %d vectors of dimension %d, quantization %s, k=%d, ef=%d; %d writers, batches of %d\n\n",
		w.name, w.base.Len(), w.base.Dim, f.quantization, f.k, f.ef, f.writers, f.batch)
	return restartTable(out.results, rows)
}

func (r *restarts) all(ctx context.Context, c *client) ([]restarted, error) {
	var err error
	r.table, err = loadTable(ctx, c, r.w, vectorConfig{M: r.options.M, EfConstruction: r.options.EfConstruction, Quantization: r.quantization}, r.output)
	if err != nil {
		return nil, err
	}
	bar := newProgress(r.progress, "kills", r.kills)
	defer bar.end()
	var rows []restarted
	for kill := range r.kills {
		row, err := r.once(ctx, kill)
		if err != nil {
			return nil, fmt.Errorf("kill %d: %w", kill+1, err)
		}
		rows = append(rows, row)
		bar.at(kill + 1)
	}
	return rows, r.table.drop(ctx)
}

// once kills the server while it takes writes, and every other time while it saves
// the index too, and watches it come back.
func (r *restarts) once(ctx context.Context, kill int) (restarted, error) {
	var row restarted
	if err := r.before(ctx, &row); err != nil {
		return row, err
	}
	if err := r.save(ctx); err != nil {
		return row, err
	}
	writing := r.write(ctx, kill+1)
	time.Sleep(r.moment(r.writing))
	var saving chan error
	if kill%2 == 1 {
		saving = make(chan error, 1)
		before := r.saved
		go func() { saving <- r.save(ctx) }()
		time.Sleep(r.moment(before))
	}
	refused := writing.refused.Load()
	err := r.running.cmd.Process.Kill()
	<-r.running.exited
	failed := writing.stop()
	row.Acknowledged = len(writing.acknowledged)
	if saving != nil {
		row.Saving = <-saving != nil
	}
	if refused { // else it is the kill that writers end with
		err = errors.Join(err, failed)
	}
	if err != nil {
		return row, err
	}
	begin := time.Now()
	started, err := startServer(r.server.start, r.server.dir, r.server.port)
	if err != nil {
		return row, err
	}
	r.running = started
	if err := r.running.ready(ctx, r.table.client, 10*time.Minute); err != nil {
		return row, err
	}
	row.Ready = time.Since(begin).Seconds()
	if err := r.watch(ctx, begin, kill+1, writing.acknowledged, &row); err != nil {
		return row, err
	}
	return row, r.checkAll(ctx, kill+1, writing.acknowledged, &row)
}

// moment is a random time up to most.
func (r *restarts) moment(most time.Duration) time.Duration {
	return time.Duration(r.rng.Float64() * float64(most))
}

// save asks for a checkpoint and returns when it is there.
func (r *restarts) save(ctx context.Context) error {
	begin := time.Now()
	_, err := call[acknowledged](ctx, r.table.client, "POST", "/vector/index/save", map[string]string{"table": r.table.table})
	if err == nil {
		r.saved = time.Since(begin)
	}
	return err
}

// before measures a server that has nothing else to do and was searched for a while.
func (r *restarts) before(ctx context.Context, row *restarted) error {
	if err := r.table.client.waitLinked(ctx, r.table.table); err != nil {
		return err
	}
	if _, err := r.speed(ctx, 8*r.window); err != nil { // warms up
		return err
	}
	var speeds []float64
	for range repeats {
		p, err := r.speed(ctx, r.window)
		if err != nil {
			return err
		}
		row.RecallBefore, speeds = p.Recall, append(speeds, p.QPS)
	}
	row.QPSBefore = median(speeds)
	return nil
}

// watch measures a server that was just started, until it is as fast as before: for
// two windows running, so that it isn't a lucky one.
func (r *restarts) watch(ctx context.Context, begin time.Time, turn int, acknowledged []int, row *restarted) error {
	last, vector := 0, r.w.base.Row(0)
	if n := len(acknowledged); n > 0 {
		last = acknowledged[n-1]
		vector = nudged(r.w.base.Row(last), turn)
	}
	for found := false; !found; {
		var err error
		if found, err = r.finds(ctx, last, vector, true); err != nil {
			return err
		}
		if !found && time.Since(begin) > time.Minute {
			return fmt.Errorf("the entity %d, acknowledged before the server was killed, isn't found", last)
		}
	}
	row.FirstAnswer = time.Since(begin).Seconds()
	stats, err := r.table.client.vectorStats(ctx, r.table.table)
	if err != nil {
		return err
	}
	row.Pending = stats.Pending
	reached := 0.0
	for first := true; ; first = false {
		p, err := r.speed(ctx, r.window)
		if err != nil {
			return err
		}
		if first {
			row.Recall = p.Recall
		}
		row.QPS = p.QPS
		switch now := time.Since(begin).Seconds(); {
		case p.QPS < 0.9*row.QPSBefore:
			reached = 0
		case reached > 0:
			row.FullSpeed = reached
			return nil
		default:
			reached = now
		}
		if time.Since(begin) > time.Minute {
			return nil
		}
	}
}

// speed searches for a while, with one client.
func (r *restarts) speed(ctx context.Context, atLeast time.Duration) (point, error) {
	return measurement{r.k, r.ef, 1, atLeast}.run(ctx, r.table, r.w)
}

func restartTable(out io.Writer, rows []restarted) error {
	fmt.Fprint(out, "| kill | saving | acknowledged | ready s | first answer s | full speed s | pending | recall@10 | before |  QPS | before | checked | lost |\n")
	fmt.Fprint(out, "|-----:|:------:|-------------:|--------:|---------------:|-------------:|--------:|----------:|-------:|-----:|-------:|--------:|-----:|\n")
	var first, full []float64
	saving, lost, missed, checked := 0, 0, 0, 0
	for i, row := range rows {
		during := "no"
		if row.Saving {
			during, saving = "yes", saving+1
		}
		lost, missed, checked = lost+row.Lost, missed+row.Missed, checked+row.Checked
		first, full = append(first, row.FirstAnswer), append(full, row.FullSpeed)
		fmt.Fprintf(out, "| %4d | %-6s | %12d | %7.2f | %14.2f | %12s | %7d | %9.4f | %6.4f | %4.0f | %6.0f | %7d | %4d |\n", i+1, during, row.Acknowledged,
			row.Ready, row.FirstAnswer, orDash("%.2f", row.FullSpeed), row.Pending, row.Recall, row.RecallBefore, row.QPS, row.QPSBefore, row.Checked, row.Lost)
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(out, "\n%d kills, %d of them while the index was saved: %d of %d acknowledged vectors lost (%d found by an exact search only)\n"+
		"first correct answer after %.2f s, at most %.2f; full speed after %.2f s, at most %s\n",
		len(rows), saving, lost, checked, missed, median(first), slices.Max(first), median(full), slowest(full))
	return err
}

// slowest is the longest of some times, of which 0 stands for more than a minute.
func slowest(seconds []float64) string {
	if slices.Contains(seconds, 0) {
		return "more than a minute"
	}
	return fmt.Sprintf("%.2f", slices.Max(seconds))
}
