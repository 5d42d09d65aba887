package feed

import (
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
)

// trimView is the form that removes old changes: a sequence first, then what that
// would remove, to be confirmed.
type trimView struct {
	Stats engine.FeedStats
	// Before is as it was typed, Error what is wrong with it.
	Before, Error string
	// Sequence is Before as a number, Removes how many changes have a lower one.
	Sequence, Removes uint64
}

func (f *Feed) trimView(before string) (trimView, error) {
	stats, err := f.o.Database.FeedStats()
	if err != nil {
		return trimView{}, err
	}
	if !stats.Enabled {
		return trimView{}, engine.ErrFeedDisabled()
	}
	v := trimView{Stats: stats, Before: before}
	if before == "" {
		return v, nil
	}
	v.Sequence, err = strconv.ParseUint(before, 10, 64)
	if err != nil {
		v.Error = "A sequence is a whole number."
		return v, nil
	}
	if end := min(v.Sequence, stats.Latest+1); end > stats.Oldest {
		v.Removes = end - stats.Oldest
	}
	return v, nil
}

func (f *Feed) trimForm(c fiber.Ctx) error {
	v, err := f.trimView(page.Query(c, "before"))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if v.Error != "" {
		status = http.StatusBadRequest
	}
	return f.frame.ShowStatus(c, status, page.Page{Title: "Remove old changes", Nav: nav, Crumbs: crumbs()}, trimContent(v))
}

// trim removes changes, as POST /changefeed/retention does.
func (f *Feed) trim(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	before, err := strconv.ParseUint(form.Text("before"), 10, 64)
	if err != nil {
		return errs.New(errs.Invalid, "invalid_parameter", "A sequence is a whole number, not %q. Nothing was removed.", form.Text("before"))
	}
	if err := page.Confirmed(form, strconv.FormatUint(before, 10)); err != nil {
		return err
	}
	removed, err := f.o.Database.TrimFeed(before)
	if err != nil {
		return err
	}
	return f.frame.Done(c, format.Plural(removed, "change was", "changes were")+" removed from the feed.", "feed")
}
