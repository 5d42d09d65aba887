package browser

import (
	"strings"
	"testing"
)

// TestNewcomer does what somebody does who has just run the demo, from the first
// page on and only by what pages show: finds similar words, makes an index,
// changes the log level, takes a snapshot.
func TestNewcomer(t *testing.T) {
	s := start(t, t.TempDir(), false)
	s.loadWords(words)
	b := open(t, s.url, "light", desktop)
	b.visit("")

	b.follow(func() { b.press("nav.menu", "Vector search") })
	b.fill(`input[name="key"]`, "coffee")
	b.follow(func() { b.press("main form", "Search") })
	b.see("table")
	b.seeText("tea")

	b.follow(func() { b.press("nav.menu", "Indexes") })
	b.follow(func() { b.press("main", "Create index") })
	if eval[bool](b, `document.querySelector('input[name="table"]')?.value !== "words"`) {
		b.fill(`input[name="table"]`, "words") // the form sends itself
	}
	b.see(".indexes-suggestions")
	b.follow(func() { b.press(".indexes-suggestions", "Create") })
	b.until(`[...document.querySelectorAll("#indexes tbody tr")].filter(row => row.innerText.includes("ready")).length === 5`)

	b.follow(func() { b.press("nav.menu", "Logs") })
	b.fill(`form[action$="logs/level"] select`, "debug")
	b.follow(func() { b.press("main", "Set level") })
	if got := string(s.call("GET", "/config", "")); !strings.Contains(got, `"level":"debug"`) {
		t.Error("the log level is still another")
	}

	b.follow(func() { b.press("nav.menu", "Snapshots & backups") })
	b.follow(func() { b.press("main form", "Take a snapshot") })
	b.see("tr[data-copy-name]")
	if got := string(s.call("GET", "/admin/snapshots", "")); !strings.Contains(got, `"name"`) {
		t.Errorf("there is no snapshot: %s", got)
	}
}
