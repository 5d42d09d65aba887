package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds each step in the browser. It is long, for machines that are
// busy; what a step waits for comes at once otherwise.
const patience = 30 * time.Second

// tab is a tab of the browser with cookies of its own, that collects what must
// not be.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string
	// expected are the statuses of answers that the test provokes, which the
	// browser's console mentions.
	expected []string

	mu struct {
		sync.Mutex
		at       string
		problems []string
	}
}

// The sizes pages are looked at in.
var (
	desktop = [2]int64{1280, 720}
	phone   = [2]int64{390, 844}
)

// open opens a tab on a server, in light or dark.
func open(t *testing.T, base, theme string, size [2]int64) *tab {
	t.Helper()
	b := &tab{t: t, base: base}
	host := must(url.Parse(base)).Host
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(func(event any) { b.hear(event, host) }))
	t.Cleanup(closeTab)
	b.ctx = ctx
	// The tab lives as long as the context of the first call.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	b.run(command(network.Enable, network.EnableParams{}), command(log.Enable, cdp.Empty{}),
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: size[0], Height: size[1], DeviceScaleFactor: 1, Mobile: size == phone}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}}),
		command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `document.addEventListener("securitypolicyviolation", e => console.error("CSP: " + e.violatedDirective + " " + e.blockedURI + " " + e.sample))`}))
	t.Cleanup(b.verdict)
	return b
}

// hear collects what must not be from the browser's events.
func (b *tab) hear(event any, host string) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problem("exception: %s %s", e.ExceptionDetails.Text, describe(e.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			var words []string
			for _, arg := range e.Args {
				words = append(words, describe(arg))
			}
			b.problem("console.%s: %s", e.Type, strings.Join(words, " "))
		}
	case *log.EventEntryAdded:
		provoked := func(status string) bool { return strings.Contains(e.Entry.Text, "status of "+status) }
		if (e.Entry.Level == "error" || e.Entry.Level == "warning") && !slices.ContainsFunc(b.expected, provoked) {
			b.problem("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Host != host && u.Scheme != "data" && u.Scheme != "blob" {
			b.problem("a request to another host: %s", e.Request.URL)
		}
	case *page.EventJavascriptDialogOpening:
		b.problem("a dialog opens: %s", e.Message)
	}
}

func describe(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	return string(o.Value) + o.Description
}

// command is a command of the browser's protocol whose answer doesn't matter.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (b *tab) problem(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.problems = append(b.mu.problems, b.mu.at+": "+fmt.Sprintf(format, args...))
}

// verdict reports what was collected.
func (b *tab) verdict() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.mu.problems {
		b.t.Error(p)
	}
	b.mu.problems = nil
}

// run does steps in the browser, which may take their time.
func (b *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v\n%s", b.at(), err, b.picture())
	}
}

// ask gets a value from the page.
func ask[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", b.at(), err, b.picture())
	}
	return value
}

// eval is the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return ask(b, chromedp.Evaluate[T](expression, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
}

// until waits until an expression in the page is true, or in the page that follows.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(patience)))
		if err == nil {
			return
		}
		if !left(err) || ctx.Err() != nil {
			b.t.Fatalf("%s: %s: %v\n%s", b.at(), expression, err, b.picture())
		}
	}
}

// left says that the page was left while something ran in it.
func left(err error) bool {
	return slices.ContainsFunc([]string{"Cannot find context", "context was destroyed", "navigated or closed"}, func(words string) bool {
		return strings.Contains(err.Error(), words)
	})
}

func (b *tab) at() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.at
}

// picture leaves a picture of a failed step.
func (b *tab) picture() string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		return ""
	}
	name := filepath.Join(os.TempDir(), "themis-browser-"+strings.ReplaceAll(b.t.Name(), "/", "-")+".png")
	if err := os.WriteFile(name, png, 0o600); err != nil {
		return ""
	}
	return "picture: " + name
}

// visit opens a page of the console, its path below /console/, and waits until it
// is there.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.mu.Lock()
	b.mu.at = path
	b.mu.Unlock()
	b.run(chromedp.Navigate(b.base+"/console/"+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// see waits until something is visible.
func (b *tab) see(selector string) {
	b.t.Helper()
	b.run(chromedp.WaitVisible(chromedp.CSS(selector)))
}

// seeText waits until the page shows a text.
func (b *tab) seeText(text string) {
	b.t.Helper()
	b.until(`document.body.innerText.includes(` + quote(text) + `)`)
}

// click clicks what becomes visible.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.run(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.ScrollIntoView(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// press clicks the button or link with a label, within what the selector finds.
func (b *tab) press(within, label string) {
	b.t.Helper()
	find := `[...document.querySelectorAll(` + quote(within) + `)].flatMap(e => [...e.querySelectorAll("button, a, summary, label")]).find(e => e.checkVisibility() && !e.disabled && e.innerText.trim() === ` + quote(label) + `)`
	b.until(`!!(` + find + `)`)
	eval[chromedp.Void](b, `(`+find+`).click()`)
}

// follow does something that leads to another page, and waits for it.
func (b *tab) follow(step func()) {
	b.t.Helper()
	eval[chromedp.Void](b, `void (window.themisHere = true)`)
	step()
	b.until(`!window.themisHere && document.readyState === "complete"`)
}

// fill puts a value into a field as if it were typed.
func (b *tab) fill(selector, value string) {
	b.t.Helper()
	b.run(chromedp.WaitReady(chromedp.CSS(selector)))
	eval[chromedp.Void](b, `(() => {
		const field = document.querySelector(`+quote(selector)+`);
		field.value = `+quote(value)+`;
		field.dispatchEvent(new Event("input", {bubbles: true}));
		field.dispatchEvent(new Event("change", {bubbles: true}));
	})()`)
}

func quote(text string) string {
	quoted, _ := json.Marshal(text) // strings always can be
	return string(quoted)
}

// signIn signs in with a key.
func (b *tab) signIn(key string) {
	b.t.Helper()
	b.visit("sign-in")
	b.fill(`input[name="key"]`, key)
	b.follow(func() { b.press("main", "Sign in") })
}

// violation is one of axe-core's.
type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	} `json:"nodes"`
}

// width is how wide a page is, and the first element that makes it wider than its
// window.
type width struct {
	Page    int    `json:"page"`
	Window  int    `json:"window"`
	Culprit string `json:"culprit"`
}

// accessible checks the page with axe-core: no serious violation.
func (b *tab) accessible() {
	b.t.Helper()
	axe, err := os.ReadFile(root + "/web/node_modules/axe-core/axe.min.js")
	if err != nil {
		b.t.Fatal(err)
	}
	if !eval[bool](b, `!!window.axe`) {
		eval[chromedp.Void](b, string(axe)+"; void 0")
	}
	found := eval[[]violation](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 4).map(n => ({html: n.html.slice(0, 200), failureSummary: n.failureSummary}))})))`)
	for _, v := range found {
		if v.Impact != "serious" && v.Impact != "critical" {
			continue
		}
		for _, n := range v.Nodes {
			b.problem("axe: %s (%s): %s\n\t%s\n\t%s", v.ID, v.Impact, v.Help, n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", " "))
		}
	}
}

// fits checks that the page doesn't scroll sideways.
func (b *tab) fits() {
	b.t.Helper()
	wide := eval[width](b, `(() => {
		const root = document.documentElement;
		const scrolls = e => { for (let p = e.parentElement; p; p = p.parentElement) { const o = getComputedStyle(p).overflowX; if (o !== "visible") return true; } return false; };
		const culprit = [...document.querySelectorAll("main *")].find(e => e.getBoundingClientRect().right > root.clientWidth + 1 && !scrolls(e));
		// On a phone innerWidth grows with the page.
		return {page: root.scrollWidth, window: root.clientWidth, culprit: culprit ? culprit.outerHTML.slice(0, 200) : ""};
	})()`)
	if wide.Page > wide.Window {
		b.problem("the page is %d wide in a window of %d: %s", wide.Page, wide.Window, wide.Culprit)
	}
}
