package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/request"
)

// maxTarget bounds the path in logs; a key of an entity may take 1.6 kB there.
const maxTarget = 256

// target is the path for logs: bounded and without API keys.
func (s *Server) target(c fiber.Ctx) string {
	path := s.redact(c.Path())
	if len(path) > maxTarget {
		path = path[:maxTarget] + "..."
	}
	return path
}

// audit writes down calls that change something and those that were refused for
// who makes them, with the entity or name that the path says but nothing of the
// body or the query.
func (s *Server) audit(c fiber.Ctx, info *request.Info, route string, took time.Duration) {
	status := c.Response().StatusCode()
	outcome := outcomeOf(status)
	if s.o.Audit == nil || outcome != "denied" && !mutates(c, info) {
		return
	}
	s.o.Audit.LogAttrs(context.Background(), slog.LevelInfo, "audit",
		slog.String("request_id", info.ID),
		slog.String("principal", info.Principal.Name), slog.String("role", info.Principal.Role.String()),
		slog.String("remote", info.Remote.String()),
		slog.String("method", methodOf(c)), slog.String("route", route), slog.String("target", s.target(c)),
		slog.Int("status", status), slog.String("outcome", outcome), slog.Float64("took_ms", milliseconds(took)))
}

// mutates goes by the route's role: a POST that only asks is for readers.
func mutates(c fiber.Ctx, info *request.Info) bool {
	if info.Audited {
		return true
	}
	switch methodOf(c) {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return info.Role >= auth.ReadWrite
}

func outcomeOf(status int) string {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests:
		return "denied"
	case status >= http.StatusBadRequest:
		return "failed"
	}
	return "ok"
}
