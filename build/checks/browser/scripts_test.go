package browser

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// keys presses keys, one after the other, where the focus is.
func (b *tab) keys(keys string, options ...chromedp.KeyOption) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(keys, options...))
}

// TestScripts does what pages offer beyond HTML.
func TestScripts(t *testing.T) {
	s := start(t, t.TempDir(), false)
	s.sampleData()
	for name, test := range map[string]func(*tab){
		"keys": testKeys, "theme": testTheme, "copy": testCopy, "charts": testCharts, "map": testMap, "editor": testEditor,
		"tail": func(b *tab) { testTail(b, s) },
	} {
		t.Run(name, func(t *testing.T) { test(open(t, s.url, "light", desktop)) })
	}
}

// testKeys goes through the pages with the keyboard alone.
func testKeys(b *tab) {
	b.visit("")
	b.follow(func() { b.keys("gt") })
	if at := eval[string](b, `location.pathname`); !strings.HasSuffix(at, "/console/tables") {
		b.problem("g t leads to %s", at)
	}
	b.keys("/")
	b.until(`document.activeElement.matches("main input")`)
	b.keys("g?") // text, as long as one writes
	eval[chromedp.Void](b, `document.activeElement.blur()`)
	b.keys("?")
	b.until(`!!document.querySelector("dialog[open]")`)
	if pages := eval[int](b, `document.querySelectorAll("dialog dd").length`); pages < len(menu) {
		b.problem("the shortcuts are %d lines", pages)
	}
	b.accessible()
	b.keys(kb.Escape)
	b.until(`!document.querySelector("dialog")`)
}

// testTheme chooses another theme, which lasts.
func testTheme(b *tab) {
	b.visit("")
	light := eval[string](b, `getComputedStyle(document.body).backgroundColor`)
	b.press(".account", "Dark")
	b.until(`document.documentElement.dataset.theme === "dark" && document.cookie.includes("dark")`)
	b.visit("tables")
	if dark := eval[string](b, `getComputedStyle(document.body).backgroundColor`); dark == light {
		b.problem("the background is %s in the dark too", dark)
	}
}

// testCopy copies; whether the browser has a clipboard or not.
func testCopy(b *tab) {
	b.visit("tables/books/entity?pk=dune")
	b.press("main", "Copy as curl")
	for _, clipboard := range []string{"navigator.clipboard", "undefined"} {
		eval[chromedp.Void](b, `Object.defineProperty(navigator, "clipboard", {value: `+clipboard+`, configurable: true}); document.querySelector("#toasts").replaceChildren()`)
		b.click("details[open] [data-copy]")
		b.until(`document.querySelector("#toasts").textContent === "Copied."`)
	}
}

// testCharts reads a chart with the keyboard, and sees a point arrive.
func testCharts(b *tab) {
	b.visit("")
	b.see("[data-chart] canvas")
	b.until(`document.querySelectorAll("[data-chart]").length === document.querySelectorAll("[data-chart] canvas").length`)
	b.until(`[...document.querySelectorAll("[data-chart] .plot-value")].some(v => v.textContent !== "–" && v.textContent !== "0")`)
	eval[chromedp.Void](b, `document.querySelector("[data-chart] .plot").focus()`)
	b.keys(kb.ArrowLeft)
	b.until(`document.querySelector("[data-chart] .plot-x").textContent.endsWith("UTC")`)
	b.keys(kb.Escape)
	b.until(`document.querySelector("[data-chart] .plot-x").textContent === ""`)
	b.press("[data-chart] .plot-legend", eval[string](b, `document.querySelector("[data-chart] .plot-key").innerText.trim()`))
	b.until(`!!document.querySelector("[data-chart] .plot-key[aria-pressed=false]")`)
}

// testMap finds a point with the keyboard and opens it.
func testMap(b *tab) {
	b.visit("search/map")
	b.see("[data-scatter] canvas")
	eval[chromedp.Void](b, `document.querySelector("[data-scatter] .plot").focus()`)
	b.keys(kb.ArrowLeft)
	b.until(`document.querySelector(".plot-tip").textContent !== "" && !document.querySelector(".plot-tip").hidden`)
	b.follow(func() { b.keys(kb.Enter) })
}

// choose presses the mouse on something that may move away.
func (b *tab) choose(selector string) {
	b.t.Helper()
	eval[chromedp.Void](b, `void document.querySelector(`+quote(selector)+`).dispatchEvent(new MouseEvent("mousedown", {bubbles: true, cancelable: true}))`)
}

// testEditor writes a query with completion, and runs it.
func testEditor(b *tab) {
	b.visit("query")
	b.see(".cm-content")
	eval[chromedp.Void](b, `(() => {
		const text = document.querySelector("textarea[data-editor]");
		text.value = "";
		text.dispatchEvent(new Event("change"));
		document.querySelector(".cm-content").focus();
	})()`)
	b.keys(`{"tab`)
	b.until(`document.querySelector(".cm-tooltip-autocomplete")?.innerText.trim() === "table"`)
	b.choose(".cm-tooltip-autocomplete li")
	b.keys(`: "boo`)
	b.until(`document.querySelector(".cm-tooltip-autocomplete")?.innerText.trim() === "books"`)
	b.choose(".cm-tooltip-autocomplete li")
	b.until(`document.querySelector("textarea[data-editor]").value === '{"table": "books"}'`)
	b.follow(func() { b.keys(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierCtrl)) })
	b.seeText("Ubik")
}

// testTail watches the log, pauses, and goes on.
func testTail(b *tab, s *server) {
	const rows = `document.querySelectorAll("[data-tail-rows] > *").length`
	b.visit("logs")
	b.until(`document.querySelector("[data-tail-state]").dataset.state === "live"`)
	b.press("[data-tail]", "Clear")
	b.until(rows + ` === 0`)
	s.call("POST", "/index/create", `{"table": "books", "column": "title"}`)
	b.until(rows + ` > 0`)
	b.press("[data-tail]", "Pause")
	before := eval[int](b, rows)
	s.call("POST", "/index/create", `{"table": "books", "column": "author"}`)
	b.until(`document.querySelector("[data-tail-state]").textContent.includes("wait")`)
	if now := eval[int](b, rows); now != before {
		b.problem("%d rows while paused, %d before", now, before)
	}
	b.press("[data-tail]", "Resume")
	b.until(rows + ` > ` + strconv.Itoa(before))
}
