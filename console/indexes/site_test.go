package indexes

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
	db *testkit.DB
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{db: testkit.Open(t)}
	s.Site = consoletest.Serve(t, func(f *page.Frame) console.Group { return New(f, Options{Database: s.db.Engine}) })
	return s
}

// post wants the status, and returns where the answer leads, or the page.
func (s *site) post(status int, path string, fields ...string) string {
	s.Helper()
	a := s.Post(path, fields...)
	if a.Status != status {
		s.Fatalf("%s %v: %d %s", path, fields, a.Status, consoletest.Content(a.Body))
	}
	if a.Location != "" {
		return a.Location
	}
	return a.Body
}

// await waits until no job runs.
func (s *site) await() {
	s.Helper()
	for _, status := range s.db.Jobs().List() {
		if job, ok := s.db.Jobs().Get(status.ID); ok {
			if err := job.Wait(s.Context()); err != nil {
				s.Fatal(err)
			}
		}
	}
}
