package browser

import (
	"archive/tar"
	"bytes"
	"testing"
)

// TestCopies makes, verifies, downloads and removes copies, and plans them.
func TestCopies(t *testing.T) {
	eachLook(t, func(s *server, b *tab) {
		s.sampleData()
		b.snapshots("before-it")
		b.backups()
		b.schedule()
	})
}

func (b *tab) snapshots(name string) {
	b.t.Helper()
	b.visit("copies")
	b.check("copies")
	b.expected = []string{"400"}
	b.fill(`input[name="name"]`, "not a name")
	b.follow(func() { b.press("main form", "Take a snapshot") })
	b.seeText("begins with a letter or digit")
	b.check("copies/snapshots")
	b.fill(`input[name="name"]`, name)
	b.follow(func() { b.press("main form", "Take a snapshot") })
	// It may take longer than the answer waits; the list follows by itself.
	row := `tr[data-copy-name="` + name + `"]`
	b.see(row)
	b.follow(func() { b.press(row, "Verify") })
	b.until(`document.querySelector('` + row + `')?.innerText.includes("sound")`)
	b.press(row, "Restore")
	b.seeText("--restore ")
	b.check("copies")
	content := eval[string](b, `fetch(document.querySelector('`+row+` a[download]').href).then(r => r.blob()).then(b => b.slice(0, 512).arrayBuffer()).then(b => String.fromCharCode(...new Uint8Array(b)))`)
	if header, err := tar.NewReader(bytes.NewReader([]byte(content))).Next(); err != nil || header.Name != name+"/manifest.json" {
		b.t.Errorf("the download begins with %+v, %v", header, err)
	}
	b.press(row, "Delete")
	b.fill(row+` input[name="confirm"]`, name)
	b.check("copies")
	b.follow(func() { b.click(row + ` form button.button-danger`) })
	b.seeText("The snapshot " + name + " was deleted.")
}

func (b *tab) backups() {
	b.t.Helper()
	for range 2 {
		b.follow(func() { b.press("main form", "Make a backup") })
		b.until(`!document.querySelector(".job-running")`)
	}
	b.until(`document.querySelectorAll('form[action*="copies/backups/"]').length >= 2`)
	b.follow(func() { b.click(`form[action*="copies/backups/"] button`) })
	b.until(`[...document.querySelectorAll(".badge-ok")].some(e => e.innerText === "sound")`)
	b.press("main", "Remove old backups")
	b.fill(`input[name="keep"]`, "1")
	b.fill(`form[action$="copies/purge"] input[name="confirm"]`, "purge")
	b.check("copies")
	b.follow(func() { b.click(`form[action$="copies/purge"] button.button-danger`) })
	b.until(`document.querySelectorAll('form[action*="copies/backups/"]').length === 1`)
}

func (b *tab) schedule() {
	b.t.Helper()
	b.visit("copies")
	b.fill("#snapshot-every", "2")
	b.fill("#snapshot-keep", "3")
	b.follow(func() { b.press("#schedule", "Save the schedule") })
	b.seeText("The schedule was changed, also after a restart.")
	b.visit("copies") // the first one is made at once
	b.until(`document.body.innerText.includes("scheduled-2") || (location.reload(), false)`)
	b.check("copies")
	b.fill("#snapshot-every", "0")
	b.follow(func() { b.press("#schedule", "Save the schedule") })
	b.seeText("The schedule was changed")
}
