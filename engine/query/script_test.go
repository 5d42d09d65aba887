package query

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/storage/keys"
)

var rewrite = flag.Bool("rewrite", false, "write the answers of the scripts in testdata anew")

// TestScripts runs testdata/*.txt. A script is blocks separated by empty
// lines; lines with # are comments. A table block sets up a table:
//
//	table
//	docs 100 {"n":$,"mod":$10}     100 documents; $ is the id, $10 the id modulo 10
//	entities 1000000               what the estimator claims
//	index 1 range n single         id, type, columns; single: planned as single-valued
//
// and a plan block plans a query, carries it out and checks it against Match:
//
//	plan
//	filter {...}
//	order ["-n"]
//	limit 10
//	----
//	the answer, written anew by: go test -run Scripts -rewrite
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{}
	var out []string
	for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		question, answer, _ := strings.Cut(block, "\n----\n")
		got := s.block(t, question)
		if got != "" {
			question += "\n----\n" + got
		}
		if !*rewrite && got != strings.TrimSpace(answer) {
			t.Errorf("%s\ngot\n%s\nwant\n%s", block, got, answer)
		}
		out = append(out, question)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type script struct {
	table  *memoryTable
	single map[uint32]bool
}

func (s *script) block(t *testing.T, question string) string {
	t.Helper()
	var command string
	var lines [][2]string
	for line := range strings.Lines(question) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if command == "" {
			command = line
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		lines = append(lines, [2]string{word, rest})
	}
	switch command {
	case "table":
		s.makeTable(t, lines)
	case "plan":
		return s.plan(t, lines)
	case "":
	default:
		t.Fatalf("unknown command %q", command)
	}
	return ""
}

var placeholder = regexp.MustCompile(`\$(\d*)`)

func (s *script) makeTable(t *testing.T, lines [][2]string) {
	t.Helper()
	var docs [][]byte
	var indexes []*schema.IndexDef
	entities := 0
	s.single = map[uint32]bool{}
	for _, line := range lines {
		words := strings.Fields(line[1])
		switch line[0] {
		case "docs":
			for range number(t, words[0]) {
				docs = append(docs, []byte(expand(t, strings.Join(words[1:], " "), len(docs))))
			}
		case "entities":
			entities = number(t, words[0])
		case "index":
			def := &schema.IndexDef{ID: uint32(number(t, words[0])), Type: schema.IndexType(words[1]), Columns: strings.Split(words[2], ",")}
			s.single[def.ID] = len(words) > 3
			indexes = append(indexes, def)
		default:
			t.Fatalf("unknown line %q", line)
		}
	}
	s.table = newMemoryTable(t, docs, indexes)
	s.table.entities = entities
}

func expand(t *testing.T, template string, id int) string {
	return placeholder.ReplaceAllStringFunc(template, func(m string) string {
		if m == "$" {
			return strconv.Itoa(id)
		}
		return strconv.Itoa(id % number(t, m[1:]))
	})
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *script) plan(t *testing.T, lines [][2]string) string {
	t.Helper()
	var predicates, filter []byte
	var order []Order
	limit := 0
	var err error
	for _, line := range lines {
		switch line[0] {
		case "predicates":
			predicates = []byte(line[1])
		case "filter":
			filter = []byte(line[1])
		case "order":
			order, err = ParseOrder([]byte(line[1]))
		case "limit":
			limit = number(t, line[1])
		default:
			t.Fatalf("unknown line %q", line)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	e, err := ParseFilter(predicates, filter)
	if err != nil {
		return "error: " + err.Error()
	}
	plan, err := Build(context.Background(), e, order, limit, s.table.indexes, s.table, Options{SingleValued: func(i uint32) bool { return s.single[i] }})
	if err != nil {
		t.Fatal(err)
	}
	full := &Plan{Root: &FullScan{}, Residual: e}
	if n := plan.Tree().size(); n != len(plan.Steps) {
		t.Errorf("the tree of %s has %d of its %d steps", describePlan(plan), n, len(plan.Steps))
	}
	got, want := s.table.run(t, plan, order, limit), s.table.run(t, full, order, limit)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s gives %v, Match gives %v", describePlan(plan), got, want)
	}
	return describePlan(plan) + fmt.Sprintf("\nrows: %d", len(got))
}

func (s StepTree) size() int {
	n := 1
	for _, child := range s.Children {
		n += child.size()
	}
	return n
}

// describePlan writes a plan with everything that matters for its answer.
func describePlan(p *Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "mode: %s\n", p.Mode)
	describeNode(&b, p.Root, "")
	if p.Residual != nil {
		fmt.Fprintf(&b, "residual: %s\n", p.Residual)
	}
	for _, e := range p.Estimates {
		exact := "about "
		if e.Exact {
			exact = ""
		}
		fmt.Fprintf(&b, "estimate: %s %s %s: %s%d\n", e.Column, e.Op, e.Value, exact, e.Count)
	}
	for _, s := range p.Steps {
		text, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "step: %s\n", text)
	}
	return strings.TrimSpace(b.String())
}

func describeNode(b *strings.Builder, n Node, indent string) {
	switch n := n.(type) {
	case *TermScan:
		fmt.Fprintf(b, "%sterms of index %d, exact %v:", indent, n.Index, n.Exact)
		for i, r := range n.Ranges {
			if i == 3 {
				fmt.Fprintf(b, " ... %d in all", len(n.Ranges))
				break
			}
			fmt.Fprintf(b, " %s", describeRange(r))
		}
		b.WriteByte('\n')
	case *Intersection:
		fmt.Fprintf(b, "%sintersection\n", indent)
		for _, c := range n.Children {
			describeNode(b, c, indent+"  ")
		}
	case *Union:
		fmt.Fprintf(b, "%sunion\n", indent)
		for _, c := range n.Children {
			describeNode(b, c, indent+"  ")
		}
	case *OrderScan:
		fmt.Fprintf(b, "%swalk index %d %s, desc %v, missing last %v\n", indent, n.Index, describeRange(n.Range), n.Desc, n.MissingLast)
	default:
		fmt.Fprintf(b, "%s%T\n", indent, n)
	}
}

// describeRange writes bounds as values where they are terms, else as bytes.
func describeRange(r Range) string {
	return "[" + describeBound(r.Lo) + ", " + describeBound(r.Hi) + ")"
}

func describeBound(term []byte) string {
	if term == nil {
		return "-"
	}
	if len(term) == 8 && term[0] != byte(keys.String) { // a geo term
		return fmt.Sprintf("%x", term)
	}
	var parts []string
	for rest := term; len(rest) > 0; {
		v, after, err := keys.Decode(rest)
		if err != nil {
			parts = append(parts, fmt.Sprintf("%x", rest))
			break
		}
		parts = append(parts, v.String())
		rest = after
	}
	return strings.Join(parts, "+")
}
