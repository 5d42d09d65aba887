package ops

import (
	"net/http"
	"reflect"

	"github.com/gofiber/fiber/v3/middleware/adaptor"

	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/problem"
	"github.com/vccdb/vccdb/server/rest"
)

const tag = "Operations"

// Routes lists every route.
func (o *Ops) Routes() []rest.Route {
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "GET", Path: "/health", Role: auth.Public, ID: "health", Tag: tag, Summary: "How the server is, for people and dashboards",
			Description: "Always 200 while the server answers at all; the body says what is wrong. Probes should use /livez and /readyz.",
			Answers:     []openapi.Answer{ok(openapi.JSON[Health](`{"status":"ok","version":"1.0.0","database":"ready","uptime_seconds":90,"warnings":[]}`))},
		}, Handle: o.health},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/livez", Role: auth.Public, ID: "livez", Tag: tag, Summary: "Whether the process answers",
			Answers: []openapi.Answer{ok(openapi.JSON[Live](`{"status":"ok"}`))},
		}, Handle: o.livez},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/readyz", Role: auth.Public, ID: "readyz", Tag: tag, Summary: "Whether to send requests here",
			Description: "503 while the server loads its vectors, drains or has failed.",
			Answers: []openapi.Answer{
				ok(openapi.JSON[Live](`{"status":"ready"}`)),
				{Status: http.StatusServiceUnavailable, Description: "Not ready; done of total vectors are loaded.",
					Media: []openapi.Media{{Type: problem.ContentType, Of: reflect.TypeFor[Unready](), Example: unreadyExample}}},
			},
		}, Handle: o.readyz},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/version", Role: auth.ReadOnly, ID: "version", Tag: tag, Summary: "Which build runs",
			Answers: []openapi.Answer{ok(openapi.JSON[Version](`{"name":"THEMIS","version":"1.0.0","build":"2026-11-22","commit":"abc1234","go":"go1.26.0"}`))},
		}, Handle: o.version},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/stats", Role: auth.ReadOnly, ID: "stats", Tag: tag, Summary: "Figures of the server, the storage and the indexes",
			Answers: []openapi.Answer{ok(openapi.JSON[Stats](""))},
		}, Handle: o.stats},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/metrics", Role: auth.ReadOnly, ID: "metrics", Tag: tag, Summary: "The same figures for Prometheus",
			Answers: []openapi.Answer{ok(openapi.Media{Type: "text/plain"})},
		}, Handle: adaptor.HTTPHandler(o.handler())},
	}
}

const unreadyExample = `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"vectors are being loaded from storage","code":"not_ready","done":3,"total":8}`

func ok(m openapi.Media) openapi.Answer {
	return openapi.Answer{Status: http.StatusOK, Media: []openapi.Media{m}}
}

// Operations describes the routes.
func (o *Ops) Operations() []openapi.Operation { return rest.Operations(o.Routes()) }
