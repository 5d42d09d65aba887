package indexes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
)

func (x *Indexes) rebuild(c fiber.Ctx) error {
	f, err := page.FormOf(c)
	if err != nil {
		return err
	}
	i := fromForm(f)
	job, err := x.db.RebuildIndex(c.Context(), i.Table, i.Columns, schema.IndexType(i.Type))
	if err != nil {
		return err
	}
	done, err := page.Soon(c.Context(), job)
	if err != nil {
		return err
	}
	notice := fmt.Sprintf("The index %s is being rebuilt; the present one serves meanwhile.", i.Name())
	if done {
		notice = fmt.Sprintf("The index %s was rebuilt.", i.Name())
	}
	return x.frame.Done(c, notice, i.Path(), i.Query()...)
}

func (x *Indexes) reindex(c fiber.Ctx) error {
	f, err := page.FormOf(c)
	if err != nil {
		return err
	}
	table := f.Text("table")
	job, err := x.db.Reindex(c.Context(), table)
	if err != nil {
		return err
	}
	done, err := page.Soon(c.Context(), job)
	if err != nil {
		return err
	}
	notice := fmt.Sprintf("The indexes of %s are being rebuilt, one after the other; the present ones serve meanwhile.", table)
	if done {
		notice = fmt.Sprintf("The indexes of %s were rebuilt.", table)
	}
	return x.frame.Done(c, notice, "indexes", "table", table)
}

func (x *Indexes) drop(c fiber.Ctx) error {
	f, err := page.FormOf(c)
	if err != nil {
		return err
	}
	i := fromForm(f)
	if err := page.Confirmed(f, confirmation(i.Columns)); err != nil {
		return err
	}
	if err := x.db.DropIndex(c.Context(), i.Table, i.Columns, schema.IndexType(i.Type)); err != nil {
		return err
	}
	return x.frame.Done(c, fmt.Sprintf("The index %s was dropped. The entities are all there.", i.Name()), "indexes", "table", i.Table)
}

// confirmation is what has to be typed to drop an index.
func confirmation(columns []string) string { return strings.Join(columns, ",") }

func (x *Indexes) setEf(c fiber.Ctx) error {
	f, err := page.FormOf(c)
	if err != nil {
		return err
	}
	i, err := vectorIndexOf(f)
	if err != nil {
		return err
	}
	ef, err := strconv.Atoi(f.Text("ef"))
	if err != nil || ef < 1 || ef > engine.MaxK {
		wrong := errs.Field("invalid_ef", "/ef", "ef is a whole number from 1 to %d; nothing was changed", engine.MaxK)
		return x.again(c, i, wrong, func(v *detailView) { v.Ef = f.Text("ef") })
	}
	if _, err := x.db.SetVectorConfig(c.Context(), i.Table, i.Columns[0], schema.VectorConfig{Ef: ef}); err != nil {
		return err
	}
	query := i.Query()
	if tab := f.Text("tab"); tab != "" {
		query = append(query, "tab", tab)
	}
	return x.frame.Done(c, fmt.Sprintf("Searches of %s go %d wide from now on.", i.Name(), ef), i.Path(), query...)
}

func (x *Indexes) setEngine(c fiber.Ctx) error {
	f, err := page.FormOf(c)
	if err != nil {
		return err
	}
	i, err := vectorIndexOf(f)
	if err != nil {
		return err
	}
	name := f.Text("engine")
	at := slices.IndexFunc(searchEngines(), func(o components.Option) bool { return o.Value == name })
	if at < 0 {
		return errs.Field("invalid_engine", "/engine", "%q answers no searches; nothing was changed", format.Shorten(name, 40))
	}
	if _, err := x.db.SetVectorConfig(c.Context(), i.Table, i.Columns[0], schema.VectorConfig{Engine: name}); err != nil {
		return err
	}
	return x.frame.Done(c, fmt.Sprintf("Searches of %s run on %s from now on.", i.Name(), searchEngines()[at].Label), i.Path(), i.Query()...)
}

// vectorIndexOf is the vector index that a form names.
func vectorIndexOf(f page.Form) (components.Index, error) {
	i := fromForm(f)
	i.Type = string(schema.Vector)
	if len(i.Columns) != 1 {
		return i, errs.New(errs.Invalid, "invalid_form", "A vector index has one column. Nothing was changed.")
	}
	return i, nil
}
