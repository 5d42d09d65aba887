package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestTables does to tables and entities what the pages offer.
func TestTables(t *testing.T) {
	eachLook(t, func(s *server, b *tab) {
		s.sampleData()
		b.findTable()
		b.filterWords()
		b.writeEntity(s)
		b.importAndDelete()
	})
}

// findTable narrows the list while one types.
func (b *tab) findTable() {
	b.t.Helper()
	b.visit("tables")
	b.see(`a[href$="tables/words"]`)
	b.run(chromedp.Focus(chromedp.CSS(`input[name="q"]`)))
	b.keys("boo")
	b.until(`!document.querySelector('#tables-list a[href$="tables/words"]') && location.search.includes("q=boo")`)
	b.check("tables")
	b.follow(func() { b.press("#tables-list", "books") })
	b.seeText("3 of 3 entities on this page")
}

// filterWords builds a filter, sorts, and goes on to what is similar.
func (b *tab) filterWords() {
	b.t.Helper()
	b.visit("tables/words")
	b.seeText("50 of 10,000 entities on this page")
	b.fill(`input[name="fcol"]`, "length")
	b.fill(`input[name="fval"]`, "14")
	b.follow(func() { b.press("form", "Add condition") })
	b.fill(`.filter-row:nth-of-type(2) input[name="fcol"], .filter-row + .filter-row input[name="fcol"]`, "word")
	eval[chromedp.Void](b, `void (document.querySelectorAll('select[name="fop"]')[1].value = "prefix")`)
	b.fill(`.filter-row + .filter-row input[name="fval"]`, "c")
	// Return applies the filter; it doesn't press the first button there is.
	b.follow(func() {
		b.run(chromedp.Focus(chromedp.CSS(`.filter-row + .filter-row input[name="fval"]`)))
		b.keys(kb.Enter)
	})
	b.seeText("matches on this page")
	b.see(`a[href*="pk=characteristic"]`)
	b.check("tables/words")
	b.follow(func() { b.press("thead", "rank") })
	b.until(`document.querySelector('th[aria-sort="ascending"]')?.innerText.includes("rank")`)
	b.follow(func() { eval[chromedp.Void](b, `document.querySelector('button[name="fdrop"][value="1"]').click()`) })
	b.until(`document.querySelectorAll('input[name="fcol"]').length === 1`)
	b.follow(func() {
		eval[chromedp.Void](b, `document.querySelector('tbody a[aria-label^="Find entities similar"]').click()`)
	})
	b.seeText("10 results in")
	b.visit("tables/words/columns")
	b.seeText("100 dimensions")
	b.check("tables/words/columns")
}

// writeEntity creates an entity with its table, edits it against someone else, and
// deletes it.
func (b *tab) writeEntity(s *server) {
	b.t.Helper()
	b.visit("tables")
	b.follow(func() { b.press("main", "Create table") })
	b.check("create")
	b.fill(`input[name="table"]`, "films")
	b.fill(`input[name="pk"]`, "a/b ü")
	b.fill(`textarea[name="entity"]`, `{"title": "Stalker", "year": 1979, `)
	b.expected = []string{"400", "412"}
	b.follow(func() { b.press("main form", "Create entity") })
	b.see(".field-error")
	b.fill(`textarea[name="entity"]`, `{"title": "Stalker", "year": 1979, "embedding": [1, 2, 3, 4, 5, 6, 7, 8]}`)
	b.follow(func() { b.press("main form", "Create entity") })
	b.seeText("was created")
	b.check("tables/films/entity")
	b.follow(func() { b.press("main", "Edit") })
	b.check("tables/films/edit")
	s.call("PUT", "/entities/films:a%2Fb%20%C3%BC", `{"title": "Solaris"}`)
	b.fill(`textarea[name="entity"]`, `{"title": "Mirror"}`)
	b.follow(func() { b.press("main form", "Save") })
	b.seeText("Someone else changed this entity meanwhile")
	b.seeText("Solaris")
	b.check("tables/films/edit")
	b.follow(func() { b.press("main form", "Replace version 2") })
	b.seeText("Saved as version 3")
	b.press("#delete", "Delete entity")
	b.fill(`#delete input[name="confirm"]`, "a/b ü")
	b.follow(func() { b.press("#delete form", "Delete entity") })
	b.seeText("was deleted")
	b.follow(func() { b.press("nav[aria-label='Pages of the table']", "Manage") })
	b.confirm("Drop table", "films")
	b.seeText("The table films was dropped")
}

// confirm opens a confirmation, types what it asks for and sends it.
func (b *tab) confirm(label, text string) {
	b.t.Helper()
	b.press("main", label)
	b.fill(`details.confirm[open] input[name="confirm"]`, text)
	b.follow(func() { b.press("details.confirm[open] form", label) })
}

// importAndDelete takes a file in, exports what it held and deletes some of it.
func (b *tab) importAndDelete() {
	b.t.Helper()
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, `{"id": "n%d", "n": %d}`+"\n", i, i)
	}
	lines.WriteString("{\n")
	file := filepath.Join(b.t.TempDir(), "numbers.ndjson")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.visit("import?table=numbers&column=id")
	b.check("import")
	b.click(`input[value="objects"]`)
	b.run(chromedp.SetUploadFiles(chromedp.CSS(`input[name="file"]`), []string{file}))
	b.follow(func() { b.press("main form", "Import") })
	b.seeText("1 line was refused")
	b.seeText("3,000")
	b.check("import")

	kind := eval[string](b, `fetch("tables/numbers/export?fcol=n&fop=lt&fval=5").then(r => r.headers.get("Content-Disposition"))`)
	if kind != `attachment; filename="numbers.ndjson"` {
		b.problem("an export comes as %q", kind)
	}

	b.visit("tables/numbers/manage")
	b.fill(`input[name="fcol"]`, "n")
	eval[chromedp.Void](b, `void (document.querySelector('select[name="fop"]').value = "gte")`)
	b.fill(`input[name="fval"]`, "1000")
	b.follow(func() { b.press("main form", "Count matches") })
	b.seeText("2,000 entities match")
	b.check("tables/numbers/manage")
	b.confirm("Delete 2,000 entities", "delete 2000")
	b.seeText("Deleting 2,000 entities")
	b.until(`!!document.querySelector(".job-done")`)
	b.visit("tables/numbers")
	b.seeText("50 of 1,000 entities on this page")
	b.visit("tables/numbers/manage")
	b.confirm("Drop table", "numbers")
}
