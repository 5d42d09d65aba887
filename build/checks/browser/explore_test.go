package browser

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

// TestExplore searches and queries as somebody does who has just loaded the demo.
func TestExplore(t *testing.T) {
	eachLook(t, func(s *server, b *tab) {
		s.sampleData()
		b.findSimilar()
		b.pasteVector()
		b.drawMap()
		b.runQueries()
		b.adviseIndex()
	})
}

// findSimilar types a word and goes on from what is found.
func (b *tab) findSimilar() {
	b.t.Helper()
	b.visit("search")
	b.until(`document.activeElement.id === "search-key"`)
	b.keys("coff")
	b.until(`[...document.querySelectorAll("#search-keys option")].some(o => o.value === "coffee")`)
	b.keys("ee")
	b.follow(func() { b.keys(kb.Enter) })
	b.seeText("10 results in")
	b.see(`a[href*="pk=tea"]`)
	b.see("#picture svg text")
	b.check("search")
	b.follow(func() { b.press("main", "Compare with exact") })
	b.seeText("Recall ")
	b.follow(func() { b.press("main", "Similar") })
	if key := eval[string](b, `document.querySelector("#search-key").value`); key == "coffee" || key == "" {
		b.problem("the search goes on from %q", key)
	}
	b.press("main", "Filter")
	b.fill(`input[name="fcol"]`, "length")
	b.fill(`input[name="fval"]`, "3")
	b.follow(func() { b.press("#search", "Search") })
	b.seeText("Allowed by the filter")
	b.expected = []string{"404"}
	b.fill("#search-key", "coffeex")
	b.follow(func() { b.press("#search", "Search") })
	b.seeText("there is no entity")
	b.follow(func() { b.press("main", "coffee") })
}

// pasteVector searches with numbers, which have to fit.
func (b *tab) pasteVector() {
	b.t.Helper()
	b.expected = []string{"400"}
	b.visit("search?by=vector&index=words.embedding")
	b.fill(`textarea[name="vector"]`, "1 2 3")
	b.follow(func() { b.press("#search", "Search") })
	b.seeText("dimension")
	b.check("search")
	b.fill(`textarea[name="vector"]`, strings.Repeat("0.1 -0.2 ", 50))
	b.follow(func() { b.press("#search", "Search") })
	b.seeText("10 results in")
}

func (b *tab) drawMap() {
	b.t.Helper()
	b.visit("search/map?index=words.embedding&color=length")
	b.see("[data-scatter] canvas")
	b.check("search/map")
}

// runQueries runs one query twice over, in both forms, and finds it again.
func (b *tab) runQueries() {
	b.t.Helper()
	b.visit("query?" + url.Values{"q": {`{"table":"words","order_by":"-rank","limit":5}`}}.Encode())
	b.seeText("5 entities on this page")
	b.check("query")
	b.follow(func() { b.press("main", "Next page") })
	b.see(`th a[href*="pk="]`)
	b.follow(func() { b.press("main", "JSON") }) // the tab, which begins anew
	b.follow(func() { b.click(`button[name="view"][value="json"]`) })
	b.seeText("next_cursor")
	b.follow(func() { b.press("main", "Form") })
	if order := eval[string](b, `document.querySelector("[name=order]").value`); order != "-rank" {
		b.problem("the form orders by %q", order)
	}
	b.fill(`input[name="limit"]`, "3")
	b.follow(func() { b.press("#query", "Run") })
	b.seeText("3 entities on this page")
	b.check("query as a form")
	b.visit("query")
	b.see("[data-query-history] a")
	b.follow(func() { b.click("[data-query-history] li:last-child a") })
	b.seeText("5 entities on this page")
	b.press("[data-query-history]", "Forget them")
	b.until(`document.querySelector("[data-query-history]").hidden && !localStorage.getItem("themis-queries")`)
}

// adviseIndex makes the index that a full scan lacked, and comes back to the query.
func (b *tab) adviseIndex() {
	b.t.Helper()
	b.visit("query?" + url.Values{"q": {`{"table":"words","predicates":[{"column":"word","value":"queen"}]}`}}.Encode())
	b.seeText("No index serves this")
	b.check("query")
	b.follow(func() { b.press("main", "Create equality index on word") })
	b.seeText("The index words.word (equality) is")
	for end := time.Now().Add(patience); time.Now().Before(end); { // until it is built
		if eval[bool](b, `document.querySelector("table.plan").innerText.includes("word (equality)")`) {
			break
		}
		b.visit(b.at())
	}
	if text := eval[string](b, `document.querySelector("main").innerText`); strings.Contains(text, "No index serves this") || !strings.Contains(text, "1 entity was read") {
		b.problem("the index doesn't serve: %s", text)
	}
}
