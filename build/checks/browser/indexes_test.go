package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestIndexes does to indexes and jobs what the pages offer.
func TestIndexes(t *testing.T) {
	eachLook(t, func(s *server, b *tab) {
		s.sampleData()
		b.createIndexes()
		b.steerVectorIndex()
		b.cancelJob()
		b.rebuildAndDrop()
	})
}

// createIndexes makes one index in one click and another by the form.
func (b *tab) createIndexes() {
	b.t.Helper()
	b.visit("indexes")
	b.follow(func() { b.press("main", "Create index") })
	b.fill(`input[name="table"]`, "books") // the form sends itself
	b.see(".indexes-suggestions")
	b.check("indexes/new?table=books")
	b.follow(func() { b.press(".indexes-suggestions", "Create") })
	b.seeText("is ready: it has taken in 3 entities")
	b.check("indexes?table=books")

	b.visit("indexes/new?table=books&type=composite")
	b.fill(`.indexes-columns input:nth-of-type(1)`, "author")
	b.expected = []string{"400"}
	b.follow(func() { b.press("main form", "Create index") })
	b.seeText("2 to 8 columns")
	b.check("indexes/create")
	b.fill(`.indexes-columns input:nth-of-type(2)`, "tags")
	b.follow(func() { b.press("main form", "Create index") })
	b.seeText("books.author,tags (composite) is ready")
}

// steerVectorIndex changes ef and measures what that does.
func (b *tab) steerVectorIndex() {
	b.t.Helper()
	const page = "indexes/index?table=words&column=embedding&type=vector"
	b.visit(page)
	b.seeText("Links per node on level 0")
	b.check(page)
	b.fill(`input[name="ef"]`, "80")
	b.follow(func() { b.press("main form", "Change") })
	b.seeText("go 80 wide from now on")
	b.follow(func() { b.press(".tabs", "Recall and speed") })
	b.fill(`input[name="sample"]`, "50")
	b.fill(`input[name="efs"]`, "10 40")
	b.follow(func() { b.press("main form", "Measure") })
	b.seeText("of the 10 nearest")
	b.until(`!!document.querySelector("[data-curve] canvas")`)
	b.check(page + "&tab=recall")
	b.follow(func() { b.press("tbody", "Use") })
	b.seeText("go 10 wide from now on")
}

// cancelJob cancels a measurement that would take minutes.
func (b *tab) cancelJob() {
	b.t.Helper()
	b.visit("indexes/index?table=words&column=embedding&type=vector&tab=recall")
	b.fill(`input[name="sample"]`, "2000")
	b.fill(`input[name="k"]`, "1000")
	b.fill(`input[name="efs"]`, "6000 7000 8000 9000 10000 5000 4000 3000")
	b.follow(func() { b.press("main form", "Measure") })
	b.see(".job-running progress")
	b.visit("jobs")
	b.see(".job-running progress")
	b.check("jobs")
	// Its progress moves on without a click.
	eval[chromedp.Void](b, `void (window.themisFacts = document.querySelector(".job-facts").innerText)`)
	b.until(`document.querySelector(".job-facts").innerText !== window.themisFacts`)
	b.follow(func() { b.press(".job-title", "Measure recall") })
	b.press(".job-head", "Cancel")
	b.see(".job-canceled")
	b.check("jobs/id")
	b.visit("jobs?state=canceled")
	b.seeText("words.embedding (vector)")
}

// rebuildAndDrop rebuilds an index and a table's indexes, and drops one.
func (b *tab) rebuildAndDrop() {
	b.t.Helper()
	const page = "indexes/index?table=books&column=author&column=tags&type=composite"
	b.visit(page)
	b.check(page)
	b.follow(func() { b.press("main form", "Rebuild") })
	b.seeText("books.author,tags (composite) was rebuilt")
	b.visit("indexes?table=books")
	b.follow(func() { b.press("main", "Rebuild all of the table") })
	b.seeText("The indexes of books were rebuilt")
	b.visit(page)
	b.confirm("Drop index", "author,tags")
	b.seeText("was dropped. The entities are all there.")
	b.until(`!document.querySelector("#indexes").innerText.includes("tags (composite)")`)
}
