package tables

import (
	"testing"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/consoletest"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/internal/testkit"
)

func TestMain(m *testing.M) { consoletest.Main(m) }

// site is the pages over a database.
type site struct {
	*consoletest.Site
	db    *testkit.DB
	pages *Tables
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{db: testkit.Open(t)}
	s.Site = consoletest.Serve(t, func(f *page.Frame) console.Group {
		s.pages = New(f, Options{Database: s.db})
		return s.pages
	}, "POST "+ImportPath)
	return s
}
