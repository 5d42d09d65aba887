// Package browser drives the console in a headless Chromium against a real
// server: every page, every change, in light and dark, with authentication off, as
// admin and as a reader. It looks for what a user would notice and what must never
// be: errors on the browser's console, reports of the content security policy,
// requests to another host, violations of accessibility rules (axe-core).
//
// It needs chromium and the built scripts; the task test sees to both.
package browser

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// root is the source tree.
const root = "../../.."

// The programs under test, and the browser that all tests share.
var (
	serverProgram, benchProgram string
	browser                     context.Context
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if _, err := os.Stat(root + "/web/dist/manifest.json"); err != nil {
		return 0, fmt.Errorf("the scripts of the console aren't built; run: go tool task web (%w)", err)
	}
	dir, err := os.MkdirTemp("", "themis-browser")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	// With the tag that all tests have, so that what they compiled is used.
	build := exec.Command("go", "build", "-tags", "invariants", "-o", dir+"/", "./cmd/themis_server", "./cmd/themis_bench")
	build.Dir, build.Env, build.Stderr = root, append(os.Environ(), "GOWORK="), os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("the programs can't be built: %w", err)
	}
	serverProgram, benchProgram = filepath.Join(dir, "themis_server"), filepath.Join(dir, "themis_bench")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // containers run as root
		chromedp.DisableGPU,
		chromedp.Flag("lang", "en-US"),
		chromedp.Flag("disable-dev-shm-usage", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	var end context.CancelFunc
	browser, end = chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(browser); err != nil {
		return 0, fmt.Errorf("chromium doesn't start; go tool task deps:browser installs it: %w", err)
	}
	return m.Run(), nil
}
