package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestSignInAndOut comes in by a link, with a wrong key first, and goes.
func TestSignInAndOut(t *testing.T) {
	s := start(t, t.TempDir(), true)
	b := open(t, s.url, "dark", desktop)
	b.expected = []string{"401"}
	b.visit("tables?sort=name")
	b.fill(`input[name="key"]`, "not-one-of-the-keys")
	b.follow(func() { b.press("main", "Sign in") })
	b.seeText("not one of the server's API keys")
	b.accessible()
	b.fill(`input[name="key"]`, readerKey)
	b.follow(func() { b.press("main", "Sign in") })
	if at := eval[string](b, `location.href`); !strings.HasSuffix(at, "/console/tables?sort=name") {
		b.problem("the sign-in leads to %s", at)
	}
	b.seeText("rita")
	b.seeText("readonly")
	if cookies := eval[string](b, `document.cookie`); strings.Contains(cookies, "session") {
		b.problem("scripts can read %s", cookies)
	}
	b.follow(func() { b.press(".account", "Sign out") })
	b.seeText("You are signed out.")
	b.accessible()
	// The way back shows nothing of what was there, though the browser may have kept
	// the page as it was.
	eval[chromedp.Void](b, `void setTimeout(() => history.back())`)
	b.until(`location.search === "?sort=name" && !!document.querySelector('input[name="key"]')`)
	if text := eval[string](b, `document.body.innerText`); strings.Contains(text, "rita") {
		b.problem("after signing out there is %q", text)
	}
}
