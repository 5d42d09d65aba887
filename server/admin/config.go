package admin

import (
	"maps"
	"net/http"
	"reflect"
	"runtime"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/server/api/openapi"
	"github.com/vccdb/vccdb/server/auth"
	"github.com/vccdb/vccdb/server/config"
	"github.com/vccdb/vccdb/server/request"
	"github.com/vccdb/vccdb/server/rest"
)

// configAnswer is the whole configuration: the values by section, and each
// setting with what there is to know about it.
type configAnswer struct {
	Server            map[string]any   `json:"server" doc:"threads stands for worker_threads: the number in force."`
	Storage           map[string]any   `json:"storage"`
	RocksDB           map[string]any   `json:"rocksdb" doc:"The section storage under another name; db_path stands for rocksdb_path."`
	Console           map[string]any   `json:"console"`
	Logging           map[string]any   `json:"logging"`
	VectorIndex       map[string]any   `json:"vector_index"`
	Features          map[string]any   `json:"features"`
	GPU               map[string]any   `json:"gpu"`
	Query             map[string]any   `json:"query"`
	RequestTimeoutMs  any              `json:"request_timeout_ms" schema:"integer" doc:"The same as server.request_timeout_ms."`
	CDCRetentionHours any              `json:"cdc_retention_hours" schema:"integer"`
	Settings          []config.Setting `json:"settings"`
}

// changedConfig is the whole configuration after a change, and the change.
type changedConfig struct {
	configAnswer
	config.Outcome
}

type configHistory struct {
	History []config.Entry `json:"history" doc:"Newest first; the last 200 are kept."`
}

func (a *Admin) configRoutes() []rest.Route {
	if a.o.Config == nil {
		return nil
	}
	return []rest.Route{
		{Operation: openapi.Operation{
			Method: "GET", Path: "/config", Role: auth.Admin, ID: "getConfig", Tag: tag, Summary: "The configuration in force",
			Description: "Each setting with its value, where it comes from, what it may be and whether it can change while the server runs. Secrets are masked.\n\n" +
				"Sources lie over each other: default, file, env, overlay (what was persisted here), flag, and runtime (changes until the next start or SIGHUP).",
			Answers: []openapi.Answer{{Status: http.StatusOK, Media: []openapi.Media{openapi.JSON[configAnswer]("")}}},
		}, Handle: a.getConfig},
		{Operation: openapi.Operation{
			Method: "POST", Path: "/config", Role: auth.Admin, ID: "setConfig", Tag: tag, Summary: "Change settings of the running server",
			Description: "Takes any subset of the settings that reload, nested by section or with dots. All of them change or none: an unknown setting or a bad value is a 400, a setting that needs a restart a 409, and errors names it.\n\n" +
				"With persist the changes go to the overlay file and outlast a restart; without they last until the next start or SIGHUP. With dry_run the answer is what would change, and nothing does.",
			Body: []openapi.Media{{Type: "application/json", Of: reflect.TypeFor[map[string]any](),
				Example: `{"logging":{"level":"info"},"request_timeout_ms":30000,"dry_run":true}`}},
			Answers: []openapi.Answer{{Status: http.StatusOK, Media: []openapi.Media{openapi.JSON[changedConfig]("")}}},
		}, Handle: a.setConfig},
		{Operation: openapi.Operation{
			Method: "GET", Path: "/config/history", Role: auth.Admin, ID: "configHistory", Tag: tag, Summary: "Who changed which setting, and when",
			Answers: []openapi.Answer{{Status: http.StatusOK, Media: []openapi.Media{openapi.JSON[configHistory](
				`{"history":[{"time":"2026-11-22T10:00:00Z","who":"ops","persisted":false,"changes":[{"key":"logging.level","from":"info","to":"debug"}]}]}`)}}},
		}, Handle: a.configHistory},
	}
}

func (a *Admin) getConfig(c fiber.Ctx) error {
	return answerSorted(c, a.wholeConfig())
}

func (a *Admin) setConfig(c fiber.Ctx) error {
	outcome, err := a.o.Config.Edit(request.Principal(c).Name, c.Body())
	if err != nil {
		return err
	}
	return answerSorted(c, changedConfig{a.wholeConfig(), *outcome})
}

// answerSorted sends the maps in the order of their keys, for people.
func answerSorted(c fiber.Ctx, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return errs.Wrap(err, errs.Internal, "internal", "the configuration could not be written as JSON")
	}
	return rest.Send(c, http.StatusOK, body)
}

func (a *Admin) configHistory(c fiber.Ctx) error {
	return rest.Answer(c, http.StatusOK, configHistory{append([]config.Entry{}, a.o.Config.History()...)})
}

func (a *Admin) wholeConfig() configAnswer {
	v := a.o.Config.View()
	section := func(name string) map[string]any {
		values, _ := v.Values[name].(map[string]any)
		return values
	}
	server, storage := section("server"), section("storage")
	server["threads"] = runtime.GOMAXPROCS(0)
	rocksdb := maps.Clone(storage)
	rocksdb["db_path"] = storage["rocksdb_path"]
	return configAnswer{
		Server: server, Storage: storage, RocksDB: rocksdb, Console: section("console"), Logging: section("logging"), VectorIndex: section("vector_index"),
		Features: section("features"), GPU: section("gpu"), Query: section("query"),
		RequestTimeoutMs: server["request_timeout_ms"], CDCRetentionHours: v.Values["cdc_retention_hours"],
		Settings: v.Settings,
	}
}
