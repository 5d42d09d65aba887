package consoletest

import (
	"context"
	"testing"

	"github.com/gofiber/fiber/v3"
	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/console"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, fasthttps()...) }

type routes []rest.Route

func (r routes) Routes() []rest.Route { return r }

func TestSite(t *testing.T) {
	s := Serve(t, func(f *page.Frame) console.Group {
		return routes{
			f.Route("GET", "echo", auth.ReadOnly, func(c fiber.Ctx) error { return c.SendString(page.Query(c, "q")) }),
			f.Route("POST", "echo", auth.ReadWrite, func(c fiber.Ctx) error {
				form, err := page.FormOf(c)
				if err != nil {
					return err
				}
				return f.Done(c, "", "echo", "q", form.Text("q"))
			}),
			f.Route("GET", "live", auth.Admin, func(c fiber.Ctx) error {
				after := c.Get("Last-Event-ID")
				return f.Stream(c, func(ctx context.Context, s *page.Stream) error {
					if err := s.Text("news", "7", "after "+after+"\nand on"); err != nil {
						return err
					}
					<-ctx.Done()
					return ctx.Err()
				})
			}),
		}
	})
	if body := s.Page("echo?q=hello", "hello"); body != "hello" {
		t.Errorf("the page is %q", body)
	}
	if a := s.Get("nothing"); a.Status != 404 {
		t.Errorf("a page that isn't there: %d %s", a.Status, a.Body)
	}
	a := s.Post("echo", "q", "x y")
	if a.Status != 303 || a.Location != "echo?q=x+y" {
		t.Errorf("the form led to %d %s", a.Status, a.Location)
	}
	s.Holds(s.Follow(a), 200, "x y")
	s.Lacks(s.Get("echo", "q", "a&b"), "x y")
	if e := s.Stream("live", "6")(); e != (Event{"news", "7", "after 6\nand on"}) {
		t.Errorf("the event is %+v", e)
	}
	s.Role = auth.ReadOnly
	s.Holds(s.Post("echo", "q", "x"), 403, "readwrite")
}

func TestReads(t *testing.T) {
	s := Serve(t, func(*page.Frame) console.Group { return routes{} })
	const body = `nav<main sse-connect="./feed?a=1&amp;b=2"><p>one</p> <b>two </b>`
	s.Reads(body, []string{"one", "two"}, "nav")
	if to := s.StreamOf(body); to != "feed?a=1&b=2" {
		t.Errorf("the stream is at %s", to)
	}
	if words := Words(s.Parse(body)); words != "nav one two" {
		t.Errorf("the words are %q", words)
	}
}
