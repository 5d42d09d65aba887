package browser

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestObserve reads along as an operator does who looks for what is wrong: the
// log and its level, the audit log, slow queries and the index that they lack, the
// change feed.
func TestObserve(t *testing.T) {
	eachLook(t, func(s *server, b *tab) {
		s.loadNames()
		b.readLog(s)
		b.readAudit(s)
		b.mendSlowQuery(s)
		b.followFeed(s)
	}, "logging.audit_file=$DIR/audit.log", "query.slow_threshold_ms=1")
	t.Run("reader", func(t *testing.T) {
		s := start(t, t.TempDir(), true, "features.cdc=true")
		s.call("POST", "/entities", `{"key": "books:dune", "entity": {"title": "Dune"}}`)
		b := open(t, s.url, "light", phone)
		b.signIn(readerKey)
		b.visit("feed")
		b.seeText("books:dune")
		b.check("feed")
		b.visit("feed/trim?before=2")
		b.see(`button[disabled]`)
		b.seeText("1 change would be removed")
		b.check("feed/trim")
		b.expected = []string{"403"}
		for _, path := range []string{"logs", "audit", "slow"} {
			b.visit(path)
			b.seeText("This call needs the role admin")
		}
	})
}

// loadNames makes a table that takes more than a millisecond to read.
func (s *server) loadNames() {
	s.t.Helper()
	var ops []string
	for i := range 5000 {
		ops = append(ops, fmt.Sprintf(`{"op": "put", "key": "names:%d", "entity": {"name": "name%04d", "text": %q}}`, i, i, strings.Repeat("text ", 20)))
	}
	s.call("POST", "/entities/batch", `{"operations": [`+strings.Join(ops, ",")+`]}`)
}

// live waits until the page follows what comes.
func (b *tab) live() {
	b.t.Helper()
	b.until(`document.querySelector("[data-tail-state]")?.dataset.state === "live"`)
}

// rows are those of the tail.
func (b *tab) rows() int {
	b.t.Helper()
	return eval[int](b, `document.querySelector("[data-tail-rows]").children.length`)
}

func (b *tab) readLog(s *server) {
	b.t.Helper()
	b.visit("logs")
	b.live()
	b.seeText("themis_server runs")
	b.check("logs")
	b.fill(`select[id="log-level"]`, "debug")
	b.follow(func() { b.press("main", "Set level") })
	b.seeText("The log level is debug")
	b.live()
	s.call("GET", "/entities?table=names&limit=1", "")
	b.until(`[...document.querySelectorAll(".log-row.log-debug")].some(e => e.innerText.includes("path=/entities"))`)
	b.press("main", "Pause")
	before := b.rows()
	s.call("GET", "/entities?table=names&limit=2", "")
	b.until(`/wait/.test(document.querySelector("[data-tail-state]").innerText)`)
	if b.rows() != before {
		b.problem("a paused log grows")
	}
	b.press("main", "Resume")
	b.until(`document.querySelector("[data-tail-rows]").children.length > ` + strconv.Itoa(before))
	// The stream follows the filter of the page.
	b.follow(func() { b.fill(`select[name="component"]`, "config") })
	b.live()
	s.call("POST", "/config", `{"logging": {"level": "info"}}`)
	b.until(`document.querySelector(".log-row .log-message").innerText.includes("changed") || document.querySelector(".log-row")?.innerText.includes("logging.level")`)
	if eval[bool](b, `[...document.querySelectorAll(".log-component")].some(e => e.innerText !== "config")`) {
		b.problem("the filter lets others through")
	}
}

func (b *tab) readAudit(s *server) {
	b.t.Helper()
	b.visit("audit?q=books")
	b.live()
	b.seeText("No entry matches")
	s.call("POST", "/entities", `{"key": "books:dune", "entity": {"title": "Dune"}}`)
	s.call("DELETE", "/entities/books:dune", "")
	b.until(`document.querySelector("tbody").innerText.includes("/entities/books:dune")`)
	b.until(`![...document.querySelectorAll("h3")].some(e => e.checkVisibility())`)
	b.visit("audit")
	b.seeText("/entities/batch")
	b.check("audit")
}

func (b *tab) mendSlowQuery(s *server) {
	b.t.Helper()
	s.call("POST", "/query", `{"table": "names", "predicates": [{"column": "name", "op": "prefix", "value": "name001"}], "return": "count"}`)
	b.visit("slow")
	b.seeText("name starts with ?")
	b.check("slow")
	b.follow(func() { b.press("main", "where name starts with ?, count") })
	b.seeText("An index would help")
	b.seeText(`name starts with "name001"`)
	b.check("slow/1")
	b.follow(func() { b.press("main", "Index name") })
	b.visit("slow?view=each")
	b.check("slow?view=each")
	b.follow(func() { b.press("main", `where name starts with "name001", count`) })
	b.until(`/exists now|is being built/.test(document.body.innerText)`)
	b.follow(func() { b.press("main", "Try it again") })
	b.seeText("entities")
	b.visit("slow")
	b.fill(`input[name="ms"]`, "60000")
	b.follow(func() { b.press("main", "Set") })
	b.seeText("What takes 1 min or longer is kept")
	b.follow(func() { b.press("main", "Clear list") })
	b.seeText("No slow queries")
}

func (b *tab) followFeed(s *server) {
	b.t.Helper()
	b.visit("feed")
	b.seeText("The change feed is off")
	b.check("feed")
	b.follow(func() { b.press("main", "Switch on the change feed") })
	b.seeText("The change feed is on")
	b.live()
	for _, title := range []string{"One", "Two", "Three"} {
		s.call("PUT", "/entities/books:"+title, `{"title": "`+title+`<script>alert(1)</script>"}`)
	}
	b.until(`document.querySelectorAll("tbody tr").length === 3`)
	if first := eval[string](b, `document.querySelector("tbody tr").innerText`); !strings.Contains(first, "books:Three") {
		b.problem("the newest change is %q", first)
	}
	b.check("feed")
	b.follow(func() { b.click("tbody tr:last-child a") })
	b.seeText("<script>alert(1)</script>")
	b.check("feed/event")
	b.follow(func() { b.press("main", "Read on from here") })
	b.live()
	s.call("DELETE", "/entities/books:One", "")
	b.until(`document.querySelector("tbody tr:last-child").innerText.includes("DELETE")`)
	b.check("feed?from=")
	third := strconv.Itoa(eval[int](b, `Number(document.querySelector("tbody tr a").innerText) + 2`))
	b.follow(func() { b.press("main", "Remove old changes") })
	b.fill(`input[name="before"]`, third)
	b.follow(func() { b.press("main", "Count them") })
	b.press("main", "Remove 2 changes")
	b.fill(`input[name="confirm"]`, third)
	b.check("feed/trim")
	b.follow(func() { b.press("form", "Remove 2 changes") })
	b.seeText("2 changes were removed")
	b.expected = []string{"410"}
	b.visit("feed?from=0")
	b.seeText("These changes can't be read")
	b.follow(func() { b.press("main", "Read from the oldest kept") })
	b.seeText("books:Three")
}
