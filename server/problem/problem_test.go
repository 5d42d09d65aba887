package problem_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/problem"
)

func TestOf(t *testing.T) {
	secret := errors.New("open /var/lib/secret: denied")
	tests := []struct {
		err    error
		status int
		code   string
		detail string
	}{
		{errs.New(errs.Internal, "bug", "It broke."), 500, "bug", "It broke."},
		{errs.New(errs.Invalid, "invalid_json", "Bad."), 400, "invalid_json", "Bad."},
		{errs.New(errs.NotFound, "entity_not_found", "Gone."), 404, "entity_not_found", "Gone."},
		{errs.New(errs.Conflict, "index_exists", "Twice."), 409, "index_exists", "Twice."},
		{errs.New(errs.Precondition, "version_mismatch", "Old."), 412, "version_mismatch", "Old."},
		{errs.New(errs.TooLarge, "body_too_large", "Big."), 413, "body_too_large", "Big."},
		{errs.New(errs.NotSupported, "not_supported", "Later."), 422, "not_supported", "Later."},
		{errs.New(errs.Unavailable, "overloaded", "Busy."), 503, "overloaded", "Busy."},
		{errs.New(errs.Timeout, "request_timeout", "Late."), 504, "request_timeout", "Late."},
		{errs.New(errs.Canceled, "canceled", "Left."), 499, "canceled", "Left."},
		{errs.New(errs.StorageFull, "disk_full", "Full."), 507, "disk_full", "Full."},
		{errs.New(errs.Corrupt, "bad_checksum", "Torn."), 500, "bad_checksum", "Torn."},
		{errs.New(errs.Unauthenticated, "key_missing", "Who?"), 401, "key_missing", "Who?"},
		{errs.New(errs.Forbidden, "role_insufficient", "No."), 403, "role_insufficient", "No."},
		{errs.New(errs.RateLimited, "rate_limited", "Slow."), 429, "rate_limited", "Slow."},
		{errs.New(errs.Gone, "feed_trimmed", "Trimmed."), 410, "feed_trimmed", "Trimmed."},
		{errs.New(errs.Kind(200), "from_the_future", "New."), 500, "from_the_future", "New."},
		{errs.Wrap(secret, errs.Unavailable, "storage_failed", "Writes are refused."), 503, "storage_failed", "Writes are refused."},
		{fmt.Errorf("scan: %w", errs.New(errs.NotFound, "table_not_found", "No table.")), 404, "table_not_found", "No table."},
		{fiber.ErrNotFound, 404, "route_not_found", ""},
		{fiber.ErrMethodNotAllowed, 405, "method_not_allowed", ""},
		{fiber.ErrRequestHeaderFieldsTooLarge, 431, "header_too_large", ""},
		{fiber.ErrBadGateway, 502, "internal", "Bad Gateway."},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), 504, "request_timeout", ""},
		{context.Canceled, 499, "canceled", ""},
		{secret, 500, "internal", ""},
	}
	for _, test := range tests {
		got := problem.Of(test.err)
		if got.Status != test.status || got.Code != test.code {
			t.Errorf("Of(%v) = %d %s, want %d %s", test.err, got.Status, got.Code, test.status, test.code)
		}
		if got.Title == "" || got.Detail == "" || got.Type != "about:blank" {
			t.Errorf("Of(%v) lacks a member: %+v", test.err, got)
		}
		if test.detail != "" && got.Detail != test.detail {
			t.Errorf("Of(%v).Detail = %q, want %q", test.err, got.Detail, test.detail)
		}
		if strings.Contains(got.Detail, "secret") {
			t.Errorf("Of(%v) tells the cause: %q", test.err, got.Detail)
		}
	}
}

func TestWrite(t *testing.T) {
	var recorded error
	app := fiber.New()
	app.Use(func(c fiber.Ctx) error {
		c.Set(fiber.HeaderXRequestID, "r-1")
		err := c.Next()
		if err != nil {
			err = problem.Write(c, err)
		}
		recorded = problem.Recorded(c)
		return err
	})
	cause := errors.New("cause")
	fail := errs.Field("dimension_mismatch", "/vector", "3 numbers, not 2: \xff")
	fail.Err = cause
	app.Get("/field", func(fiber.Ctx) error { return fail })
	app.Get("/busy", func(fiber.Ctx) error { return errs.New(errs.Unavailable, "overloaded", "Busy.") })
	app.Get("/ended", func(c fiber.Ctx) error {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errs.New(errs.Unavailable, "shutting_down", "Bye."))
		c.SetContext(ctx)
		return fmt.Errorf("scan: %w", ctx.Err())
	})
	app.Get("/fine", func(c fiber.Ctx) error { return c.SendString("ok") })

	status, header, body := get(t, app, "/field")
	want := `{"type":"about:blank","title":"Bad Request","status":400,"detail":"3 numbers, not 2: ` + "\ufffd" +
		`","code":"dimension_mismatch","request_id":"r-1","errors":[{"pointer":"/vector","detail":"3 numbers, not 2: ` + "\ufffd" + `"}]}`
	if status != 400 || body != want || header("Content-Type") != problem.ContentType {
		t.Errorf("got %d %s\n%s\nwant\n%s", status, header("Content-Type"), body, want)
	}
	if !errors.Is(recorded, cause) {
		t.Errorf("Recorded = %v, want the cause kept", recorded)
	}
	if status, header, _ = get(t, app, "/busy"); status != 503 || header("Retry-After") != "1" {
		t.Errorf("busy: %d, Retry-After %q", status, header("Retry-After"))
	}
	if status, _, body = get(t, app, "/ended"); status != 503 || !strings.Contains(body, "shutting_down") {
		t.Errorf("ended: %d %s, want the context's cause", status, body)
	}
	if status, header, _ = get(t, app, "/none"); status != 404 || header("X-Request-ID") != "r-1" {
		t.Errorf("none: %d", status)
	}
	if get(t, app, "/fine"); recorded != nil {
		t.Errorf("Recorded = %v after a success", recorded)
	}
}

func get(t *testing.T, app *fiber.App, path string) (int, func(string) string, string) {
	t.Helper()
	res, err := app.Test(httptest.NewRequest("GET", path, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode >= 400 && !json.Valid(body) {
		t.Errorf("%s answered no JSON: %s", path, body)
	}
	return res.StatusCode, res.Header.Get, string(body)
}
