package session

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
)

// answer runs f with a request that has these cookie lines, and returns the answer.
func answer(t *testing.T, lines []string, f func(c fiber.Ctx)) *http.Response {
	t.Helper()
	app := fiber.New()
	var ctx fasthttp.RequestCtx
	for _, line := range lines {
		ctx.Request.Header.Add("Cookie", line)
	}
	c := app.AcquireCtx(&ctx)
	defer app.ReleaseCtx(c)
	f(c)
	res := &http.Response{Header: http.Header{}}
	for _, line := range ctx.Response.Header.PeekAll("Set-Cookie") {
		res.Header.Add("Set-Cookie", string(line))
	}
	return res
}

func TestCookieNames(t *testing.T) {
	one, two := New(Options{Instance: "one"}), New(Options{Instance: "two"})
	names := []string{one.CookieName(false), two.CookieName(false), one.CookieName(true), two.CookieName(true)}
	if len(slices.Compact(slices.Sorted(slices.Values(names)))) != 4 || one.CookieName(false) != New(Options{Instance: "one"}).CookieName(false) {
		t.Errorf("%q", names)
	}
	for i, name := range names {
		if strings.HasPrefix(name, "__Host-") != (i >= 2) {
			t.Errorf("%q", name)
		}
	}
}

func TestSend(t *testing.T) {
	s := New(Options{})
	for _, secure := range []bool{false, true} {
		cookies := answer(t, nil, func(c fiber.Ctx) { s.Send(c, secure, "token") }).Cookies()
		if len(cookies) != 1 {
			t.Fatal(cookies)
		}
		got := cookies[0]
		if got.Name != s.CookieName(secure) || got.Value != "token" || got.Path != "/" || got.Domain != "" || !got.HttpOnly ||
			got.Secure != secure || got.SameSite != http.SameSiteLaxMode || got.MaxAge != 0 || !got.Expires.IsZero() {
			t.Errorf("%+v", got)
		}
		gone := answer(t, nil, func(c fiber.Ctx) { s.Forget(c, secure) }).Cookies()[0]
		if gone.Name != got.Name || gone.Value != "" || gone.Path != "/" || gone.Secure != secure || gone.Expires.IsZero() || gone.Expires.Year() > 2020 {
			t.Errorf("%+v", gone)
		}
	}
}

func TestPresented(t *testing.T) {
	s, other := New(Options{Instance: "a"}), New(Options{Instance: "b"})
	plain, host := s.CookieName(false), s.CookieName(true)
	for _, test := range []struct {
		lines         []string
		plain, secure string
	}{
		{nil, "", ""},
		{[]string{plain + "=a"}, "a", ""},
		{[]string{host + "=a"}, "", "a"},
		{[]string{host + "=a; " + plain + "=b"}, "b", "a"},
		{[]string{plain + "=a; " + plain + "=b"}, "a b", ""},
		{[]string{plain + "=a", plain + "=b"}, "a b", ""},
		{[]string{"x=y;" + plain + "=a;z"}, "a", ""},
		{[]string{plain + "=", plain, "=" + plain}, "", ""},
		{[]string{strings.ToUpper(plain) + "=a", other.CookieName(false) + "=b", " x" + plain + "=c"}, "", ""},
	} {
		for secure, want := range map[bool]string{false: test.plain, true: test.secure} {
			var got []string
			answer(t, test.lines, func(c fiber.Ctx) { got = s.Presented(c, secure) })
			if strings.Join(got, " ") != want {
				t.Errorf("%q: %q, want %q", test.lines, got, want)
			}
		}
	}
}
