package overview

import (
	"context"
	"strconv"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/view"
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

// linkID lets a link keep the focus when the list is replaced.
func linkID(i int, item Item) string { return "attention-" + item.Path + "-" + strconv.Itoa(i) }

// figureID does the same for the figures.
func figureID(i int) string { return "figure-" + strconv.Itoa(i) }

// live ties a chart to the page's stream.
func live(ctx context.Context, c components.Chart) components.Chart {
	c.Stream = view.URL(ctx, "overview/stream")
	return c
}
