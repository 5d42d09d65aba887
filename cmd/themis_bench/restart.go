package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"
)

// restartFlags are the flags of the subcommand restart.
type restartFlags struct {
	scenarioFlags
	server serverFlags
	kills  int
	tail   int
}

func setupRestart(flags *flag.FlagSet) func(context.Context, output) error {
	var f restartFlags
	f.register(flags)
	f.server.register(flags, "data/restart")
	flags.IntVar(&f.kills, "kills", 3, "how often the server is killed")
	flags.IntVar(&f.tail, "tail", 10_000, "entities that are written again after the index was saved, before each kill")
	return f.run
}

// restarted is one kill and what came after it. Seconds count from the start of the
// server.
type restarted struct {
	// Ready is when it answers that it is ready, FirstAnswer when it first finds what
	// was written last, FullSpeed when searches are as fast as before the kill again.
	Ready       float64 `json:"ready_seconds"`
	FirstAnswer float64 `json:"first_answer_seconds"`
	FullSpeed   float64 `json:"full_speed_seconds"`
	// Pending is how many vectors weren't linked when it was ready.
	Pending int `json:"pending"`
	// Recall is that of the first searches, RecallBefore that before the kill.
	Recall       float64 `json:"recall"`
	RecallBefore float64 `json:"recall_before"`
	QPSBefore    float64 `json:"qps_before"`
	// Lost counts acknowledged entities that aren't found by their own vectors, of
	// Checked, the ones written last.
	Lost    int `json:"lost"`
	Checked int `json:"checked"`
}

// restarts is a server that is killed again and again.
type restarts struct {
	*restartFlags
	output
	w       *workload
	table   *overHTTP
	running *process
}

func (f *restartFlags) run(ctx context.Context, out output) error {
	if f.server.start == "" {
		return errors.New("say with -start where themis_server is: a server of its own is killed")
	}
	w, err := f.load()
	if err != nil {
		return err
	}
	f.tail = min(f.tail, w.base.Len())
	if len(w.truth) == 0 {
		if w.truth, err = exactNeighbours(ctx, w, f.k); err != nil {
			return err
		}
	}
	c, started, err := f.server.connect(ctx, 2)
	if err != nil {
		return err
	}
	if started == nil {
		return fmt.Errorf("a server runs at %s already; choose another -port", c.base)
	}
	r := &restarts{restartFlags: f, output: out, w: w, running: started}
	rows, err := r.all(ctx, c)
	if err = errors.Join(err, r.running.stop()); err != nil {
		return err
	}
	if err := f.finish(rows); err != nil {
		return err
	}
	return r.print(rows)
}

func (r *restarts) all(ctx context.Context, c *client) ([]restarted, error) {
	var err error
	r.table, err = loadTable(ctx, c, r.w, vectorConfig{M: r.options.M, EfConstruction: r.options.EfConstruction, Quantization: r.quantization}, r.output)
	if err != nil {
		return nil, err
	}
	var rows []restarted
	for kill := range r.kills {
		row, err := r.once(ctx, kill)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, r.table.drop(ctx)
}

// once saves the index, writes some entities again, kills the server and watches it
// come back.
func (r *restarts) once(ctx context.Context, kill int) (restarted, error) {
	var row restarted
	before, err := r.window(ctx, time.Second)
	if err != nil {
		return row, err
	}
	row.RecallBefore, row.QPSBefore = before.Recall, before.QPS
	if _, err := call[acknowledged](ctx, r.table.client, "POST", "/vector/index/save", map[string]string{"table": r.table.table}); err != nil {
		return row, err
	}
	from := kill * r.tail % r.w.base.Len()
	to := min(from+r.tail, r.w.base.Len())
	for at := from; at < to; at += linesPerRequest {
		err = r.table.client.loadPart(ctx, at, min(to, at+linesPerRequest), func(dst []byte, i int) []byte {
			dst = fmt.Appendf(dst, `{"op":"put","key":"%s:%d","entity":{"again":%d,"embedding":`, r.table.table, i, kill)
			return append(appendVector(dst, r.w.base.Row(i)), '}', '}')
		})
		if err != nil {
			return row, err
		}
	}
	if err := r.running.cmd.Process.Kill(); err != nil {
		return row, err
	}
	<-r.running.exited
	begin := time.Now()
	if r.running, err = startServer(r.server.start, r.server.dir, r.server.port); err != nil {
		return row, err
	}
	if err := r.running.ready(ctx, r.table.client, 10*time.Minute); err != nil {
		return row, err
	}
	row.Ready = time.Since(begin).Seconds()
	return row, r.watch(ctx, begin, to-1, &row)
}

// watch measures a server that was just started, until it is as fast as before.
func (r *restarts) watch(ctx context.Context, begin time.Time, last int, row *restarted) error {
	for found := false; !found; {
		var err error
		if found, err = r.finds(ctx, last); err != nil {
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
	for first := true; ; first = false {
		p, err := r.window(ctx, 250*time.Millisecond)
		if err != nil {
			return err
		}
		if first {
			row.Recall = p.Recall
		}
		if p.QPS >= 0.9*row.QPSBefore {
			break
		}
		if time.Since(begin) > 10*time.Minute {
			return fmt.Errorf("ten minutes after its start the server answers %.0f searches a second; it was %.0f", p.QPS, row.QPSBefore)
		}
	}
	row.FullSpeed = time.Since(begin).Seconds()
	for row.Checked < min(r.tail, 1000) {
		found, err := r.finds(ctx, last-row.Checked)
		if err != nil {
			return err
		}
		if row.Checked++; !found {
			row.Lost++
		}
	}
	return nil
}

// window searches for a while, with one client.
func (r *restarts) window(ctx context.Context, atLeast time.Duration) (point, error) {
	return measurement{r.k, r.ef, 1, atLeast}.run(ctx, r.table, r.w)
}

// finds says whether an entity is found by its own vector.
func (r *restarts) finds(ctx context.Context, id int) (bool, error) {
	ids, err := r.table.nearest(ctx, r.w.base.Row(id), 1, r.ef)
	return len(ids) == 1 && ids[0] == uint32(id), err
}

func (r *restarts) print(rows []restarted) error {
	fmt.Fprintf(r.results, "%s: %d vectors of dimension %d, quantization %s, %d written again before each kill -9, k=%d, ef=%d\n\n",
		r.w.name, r.w.base.Len(), r.w.base.Dim, r.quantization, r.tail, r.k, r.ef)
	fmt.Fprint(r.results, "| kill | ready s | first answer s | full speed s | pending | recall@10 | before | QPS before | lost |\n")
	fmt.Fprint(r.results, "|-----:|--------:|---------------:|-------------:|--------:|----------:|-------:|-----------:|-----:|\n")
	for i, row := range rows {
		_, err := fmt.Fprintf(r.results, "| %4d | %7.2f | %14.2f | %12.2f | %7d | %9.4f | %6.4f | %10.0f | %4d |\n", i+1, row.Ready, row.FirstAnswer,
			row.FullSpeed, row.Pending, row.Recall, row.RecallBefore, row.QPSBefore, row.Lost)
		if err != nil {
			return err
		}
	}
	return nil
}
