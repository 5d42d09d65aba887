package browser

import "testing"

// TestOverviewAndSystem looks at the first page while the database changes below
// it, and does to the server what its page offers.
func TestOverviewAndSystem(t *testing.T) {
	eachLook(t, func(s *server, b *tab) {
		b.overviewFollows(s)
		b.maintain()
		b.lookUp()
	})
}

// overviewFollows sees the page change by itself.
func (b *tab) overviewFollows(s *server) {
	b.t.Helper()
	b.visit("")
	b.seeCalm()
	b.seeText("Store a first entity")
	b.see("#chart-traffic canvas")
	b.check("")
	s.call("POST", "/entities", `{"key": "shapes:a", "entity": {"v": [1, 2, 3]}}`)
	s.call("POST", "/index/create", `{"table": "shapes", "column": "v", "type": "vector"}`)
	b.seeText("There is no copy of the data")
	b.seeText("in 1 index")
	if !eval[bool](b, `new Promise(done => {
		const stream = new EventSource("overview/stream");
		stream.addEventListener("memory", event => { stream.close(); done(JSON.parse(event.data).values.length === 5); });
	})`) {
		b.problem("the stream's points are not those of the chart")
	}
	s.call("POST", "/admin/snapshot", `{"name": "first"}`)
	b.seeCalm()
	b.visit("")
	b.follow(func() { b.press("main", "shapes") })
	b.seeText("shapes")
}

// seeCalm waits until nothing needs attention, unless it is the disk: that is the
// machine's.
func (b *tab) seeCalm() {
	b.t.Helper()
	b.until(`document.body.innerText.includes("Nothing needs attention.") ||
		document.body.innerText.includes("The disk is getting full") && !document.body.innerText.includes("There is no copy of the data")`)
}

// maintain flushes and compacts.
func (b *tab) maintain() {
	b.t.Helper()
	b.visit("system")
	b.see("#chart-heap canvas")
	b.follow(func() { b.press("main", "Flush") })
	b.seeText("Memtables were written to files")
	b.check("system")
	b.follow(func() { b.press("main", "Compact") })
	b.seeText("The compaction has begun.")
	b.see(".job-done")
	b.visit("system")
	b.follow(func() { b.press("main", "Licences") })
	b.seeText("htmx.org")
	b.click(".fold summary")
	b.check("system/licences")
}

// lookUp finds a call of the REST API.
func (b *tab) lookUp() {
	b.t.Helper()
	b.visit("api")
	b.fill(`input[name="q"]`, "restore snapshot download") // the form sends itself
	b.seeText("No operation has these words")
	b.fill(`input[name="q"]`, "post query")
	b.seeText("1 operation")
	b.check("api?q=post+query")
	b.follow(func() { b.press("main", "/query") })
	b.seeText("curl -X POST")
	b.check("api/query")
}
