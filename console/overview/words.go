package overview

import (
	"context"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine/jobs"
)

func icon(kind string) string {
	switch kind {
	case "danger":
		return "error"
	case "warn":
		return "warn"
	}
	return "info"
}

// stateKind is the kind of badge of a job's state.
func stateKind(s jobs.State) string {
	switch s {
	case jobs.Done:
		return "ok"
	case jobs.Failed:
		return "danger"
	case jobs.Running:
		return "info"
	}
	return ""
}

// live ties a chart to the page's stream.
func live(ctx context.Context, c components.Chart) components.Chart {
	c.Stream = view.URL(ctx, "overview/stream")
	return c
}
