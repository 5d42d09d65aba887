package page

import (
	"strings"
	"testing"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

// TestPartsLinkFromTheirPage: a link in a part is relative to the page that the
// part stands in, however deep the part's own URL is.
func TestPartsLinkFromTheirPage(t *testing.T) {
	s := serve(t, Options{}, func(f *Frame) []rest.Route {
		return []rest.Route{
			f.Route("GET", "jobs/{id}/part", auth.ReadOnly, func(c fiber.Ctx) error { return f.Part(c, link("tables/x")) }),
			f.Route("POST", "deep/er/do", auth.ReadOnly, func(c fiber.Ctx) error { return f.Done(c, "", "tables") }),
		}
	})
	for page, want := range map[string]string{
		"http://h/console/":                           "./",
		"http://h/db/one/console/indexes?q=a/b/c":     "./",
		"http://h/console/tables/a%2Fb/entity":        "../../",
		"http://h/console/jobs/7":                     "../",
		"http://h/console/" + strings.Repeat("/", 99): strings.Repeat("../", maxDepth),
		"http://h/elsewhere/a/b/c":                    "../../",
		"%":                                           "../../",
	} {
		header := []string{"HX-Request", "true", "HX-Current-URL", page}
		if _, body := s.do("GET", "/console/jobs/7/part", "", header...); !strings.Contains(body, `href="`+want+`tables/x`) {
			t.Errorf("from %s: %s", page, body)
		}
		if res, _ := s.do("POST", "/console/deep/er/do", "a=1", header...); res.Header.Get("HX-Redirect") != want+"tables" {
			t.Errorf("from %s: redirected to %q", page, res.Header.Get("HX-Redirect"))
		}
	}
	if _, body := s.do("GET", "/console/jobs/7/part", "", "HX-Current-URL", "http://h/console/"); !strings.Contains(body, `href="../../tables/x`) {
		t.Errorf("not a part: %s", body)
	}
}
