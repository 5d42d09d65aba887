package consoletest

import (
	"context"
	"net/url"
	"testing"

	"github.com/gofiber/fiber/v3"
	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/rest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp's clock runs for good, and its pools notice a stop with a delay.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

type routes []rest.Route

func (r routes) Routes() []rest.Route { return r }

func TestSite(t *testing.T) {
	s := Serve(t, func(f *page.Frame) Pages {
		return routes{
			f.Route("GET", "echo", auth.Admin, func(c fiber.Ctx) error { return c.SendString(page.Query(c, "q")) }),
			f.Route("POST", "echo", auth.Admin, func(c fiber.Ctx) error {
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
	if body := s.Page("echo?q=hello"); body != "hello" {
		t.Errorf("the page is %q", body)
	}
	if status, body := s.Get("nothing"); status != 404 {
		t.Errorf("a page that isn't there: %d %s", status, body)
	}
	if status, to := s.Post("echo", url.Values{"q": {"x y"}}); status != 303 || to != "./echo?q=x+y" {
		t.Errorf("the form led to %d %s", status, to)
	}
	if e := s.Stream("live", "6")(); e != (Event{"news", "7", "after 6\nand on"}) {
		t.Errorf("the event is %+v", e)
	}
}
