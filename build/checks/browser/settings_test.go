package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestSettings changes the configuration, as one types, and takes it back.
func TestSettings(t *testing.T) {
	eachLook(t, func(_ *server, b *tab) {
		b.changeSettings("warn")
		b.takeBack()
	})
	t.Run("reader", func(t *testing.T) {
		s := start(t, t.TempDir(), true)
		b := open(t, s.url, "light", desktop)
		b.expected = []string{"403"}
		b.signIn(readerKey)
		b.visit("settings")
		b.seeText("needs the role admin")
	})
}

// changeSettings changes the level of the log, and then another setting with it.
func (b *tab) changeSettings(level string) {
	b.t.Helper()
	b.visit("settings?q=level")
	b.seeText("Change a value")
	b.fill(`select[name="set.logging.level"]`, level)
	b.until(`document.querySelector("#settings-bar").innerText.includes(` + quote(level) + `)`)
	b.check("settings?q=level")
	b.follow(func() { b.click("#settings-apply") })
	b.seeText("logging.level is " + level + " now, also after a restart.")

	b.visit("settings")
	b.fill(`input[name="set.server.request_timeout_ms"]`, "5")
	b.until(`document.querySelector("#set-server-request_timeout_ms-error").innerText.includes("from 1000 to 300000")`)
	b.check("settings")
	b.fill(`input[name="set.server.request_timeout_ms"]`, "45000")
	b.fill(`select[name="set.logging.level"]`, "info")
	b.until(`document.querySelector("#set-server-request_timeout_ms-error").innerText === ""`)
	b.see("#settings-apply")
	// Another view of the same: without the scripts' help.
	b.follow(func() { eval[chromedp.Void](b, `document.querySelector("form.settings").submit()`) })
	b.seeText("Review changes")
	b.check("settings/review")
	b.click(`input[name="persist"][value="no"]`)
	b.follow(func() { b.press("main form", "Apply") })
	b.seeText("2 settings were changed, until the next restart.")
	b.seeText("A restart would change 2 settings")
	b.check("settings")
}

// takeBack takes the last change back.
func (b *tab) takeBack() {
	b.t.Helper()
	b.follow(func() { b.press("main", "History") })
	b.seeText("server.request_timeout_ms")
	b.check("settings/history")
	b.follow(func() { b.press("tbody tr:first-child", "Revert") })
	b.seeText("Take back the change")
	b.check("settings/revert")
	b.follow(func() { b.press("main form", "Apply") })
	b.seeText("2 settings were changed")
	b.visit("settings?q=timeout")
	b.until(`document.querySelector('input[name="set.server.request_timeout_ms"]').value === "30000"`)
}
