package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

type consoleFlags struct {
	server serverFlags
	tables int
	rounds int
	limit  time.Duration
}

func setupConsole(flags *flag.FlagSet) func(context.Context, output) error {
	var f consoleFlags
	f.server.register(flags, "data/console")
	flags.IntVar(&f.tables, "tables", 3000, "tables there are, besides the one of the words")
	flags.IntVar(&f.rounds, "rounds", 100, "how often each page is asked for")
	flags.DurationVar(&f.limit, "limit", 50*time.Millisecond, "the p95 of no page may be above it")
	return f.run
}

// run fills a server with words and tables, finds the pages of its console by their
// links, and measures how long each takes to come.
func (f *consoleFlags) run(ctx context.Context, out output) error {
	words, err := readWords("", 0)
	if err != nil {
		return err
	}
	c, started, err := f.server.connect(ctx, 1, "THEMIS_FEATURES_CDC=true")
	if err != nil {
		return err
	}
	d := demo{output: out, client: c, words: words}
	err = d.load(ctx)
	if err == nil {
		err = f.addTables(ctx, c, out)
	}
	if err == nil {
		err = f.measure(ctx, c, out)
	}
	if started != nil {
		err = errors.Join(err, started.stop())
	}
	return err
}

// addTables makes tables of an entity and an index each.
func (f *consoleFlags) addTables(ctx context.Context, c *client, out output) error {
	name := func(i int) string { return fmt.Sprintf("bench_%05d", i) }
	if f.tables > 0 {
		_, err := call[tableInfo](ctx, c, "GET", "/tables/"+name(f.tables-1), nil)
		if err == nil {
			return nil // from an earlier run
		}
		if err = unless(err, "table_not_found"); err != nil {
			return err
		}
	}
	bar := newProgress(out.progress, "tables", f.tables)
	defer bar.end()
	for i := range f.tables {
		if err := c.createIndex(ctx, indexSpec{Table: name(i), Column: "n", Type: "range"}); err != nil {
			return err
		}
		bar.at(i)
	}
	return c.load(ctx, f.tables, func(dst []byte, i int) []byte {
		return fmt.Appendf(dst, `{"op":"put","key":"%s:one","entity":{"name":"table %d","n":%d}}`, name(i), i, i)
	}, func(int) error { return nil })
}

// consolePage is a page and how long its answers took.
type consolePage struct {
	path  string
	bytes int
	took  []time.Duration
}

func (f *consoleFlags) measure(ctx context.Context, c *client, out output) error {
	pages, dead, err := findPages(ctx, c)
	if err != nil {
		return err
	}
	bar := newProgress(out.progress, "asking", f.rounds)
	for round := range f.rounds {
		for _, p := range pages { // in turns, so that what else the machine does hits all alike
			start := time.Now()
			if _, _, err := readPage(ctx, c, p.path); err != nil {
				return err
			}
			p.took = append(p.took, time.Since(start))
		}
		bar.at(round + 1)
	}
	bar.end()
	for _, p := range pages {
		slices.Sort(p.took)
	}
	slices.SortFunc(pages, func(a, b *consolePage) int { return cmp.Compare(quantile(b.took, 0.95), quantile(a.took, 0.95)) })
	fmt.Fprintf(out.results, "%d pages of the console, %d times each, with %d tables of an index each and 20,000 words\n\n", len(pages), f.rounds, f.tables)
	fmt.Fprintf(out.results, "|   p50 ms |   p95 ms |   max ms |      KiB | page\n|---------:|---------:|---------:|---------:|:----\n")
	slow := 0
	for _, p := range pages {
		p95 := quantile(p.took, 0.95)
		if p95 > f.limit {
			slow++
		}
		fmt.Fprintf(out.results, "| %8.2f | %8.2f | %8.2f | %8.1f | %.100s\n",
			ms(quantile(p.took, 0.5)), ms(p95), ms(p.took[len(p.took)-1]), float64(p.bytes)/1024, p.path)
	}
	if slow > 0 {
		dead = errors.Join(dead, fmt.Errorf("the p95 of %d pages is above %v", slow, f.limit))
	}
	return dead
}

// entrances are where the search for pages begins; what people type isn't linked.
var entrances = []string{
	"/console/", "/console/overview/figures", "/console/overview/attention", "/console/tables?q=bench_01", "/console/tables?sort=entities", "/console/tables/words?limit=100", "/console/search?index=words.embedding&key=king",
	"/console/query?q=" + url.QueryEscape(`{"table":"words","predicates":[{"column":"first_letter","value":"q"}],"order_by":"rank","limit":100}`),
	"/console/query?q=" + url.QueryEscape(`{"table":"words","predicates":[{"column":"word","op":"prefix","value":"q"}],"limit":100}`),
}

// The bounds of the search: pages of one kind, and all of them.
const (
	pagesOfAKind = 2
	maxPages     = 150
)

var (
	links = regexp.MustCompile(`href="([^"]*)"`)
	// names are the parts of a path that differ from page to page of one kind.
	names = regexp.MustCompile(`bench_\d+|words|/api/\w+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+`)
)

// findPages follows links from page to page. Dead are the links that lead nowhere.
func findPages(ctx context.Context, c *client) (pages []*consolePage, dead, err error) {
	kinds, seen := map[string]int{}, map[string]bool{}
	for queue := slices.Clone(entrances); len(queue) > 0 && len(pages) < maxPages; queue = queue[1:] {
		path := queue[0]
		kind := kindOf(path)
		if seen[path] || kinds[kind] == pagesOfAKind {
			continue
		}
		kinds[kind]++
		seen[path] = true
		from, body, err := readPage(ctx, c, path)
		if from == nil {
			dead = errors.Join(dead, err)
			continue
		}
		pages = append(pages, &consolePage{path: path, bytes: len(body)})
		for _, link := range links.FindAllStringSubmatch(body, -1) {
			to, err := from.Parse(html.UnescapeString(link[1]))
			if err != nil {
				return nil, nil, fmt.Errorf("%s has the link %q: %w", path, link[1], err)
			}
			if strings.HasPrefix(to.Path, "/console/") && !strings.HasPrefix(to.Path, "/console/assets/") {
				queue = append(queue, to.RequestURI())
			}
		}
	}
	if len(pages) < len(entrances) {
		return nil, nil, errors.Join(dead, fmt.Errorf("the console has only %d pages", len(pages)))
	}
	return pages, dead, nil
}

// kindOf is what pages of one kind share: the path without names, and which
// parameters there are.
func kindOf(path string) string {
	u, err := url.Parse(path)
	if err != nil {
		return path
	}
	kind := names.ReplaceAllString(u.Path, "*")
	return strings.Join(append([]string{kind}, slices.Sorted(maps.Keys(u.Query()))...), " ")
}

// readPage asks for a page as a browser does, and says where it was led to. Streams
// and downloads are no pages: at is nil then.
func readPage(ctx context.Context, c *client, path string) (at *url.URL, body string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := c.send(ctx, http.MethodGet, path, "", nil)
	var refused *apiError
	if errors.As(err, &refused) { // with a whole page as its text
		return nil, "", fmt.Errorf("%s: %d %s", path, refused.Status, http.StatusText(refused.Status))
	}
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return nil, "", nil
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, "", err
	}
	return resp.Request.URL, string(text), nil
}
