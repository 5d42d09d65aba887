package tables

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v3"
	"github.com/google/uuid"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/console/view"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/internal/errs"
)

// create writes a new entity, and with the first one its table.
func (t *Tables) create(c fiber.Ctx) error {
	form, err := page.FormOf(c)
	if err != nil {
		return err
	}
	v := Edit{New: true, Table: form.Text("table"), PK: form.Get("pk"), Text: form.Get("entity")}
	k := engine.Key{Table: v.Table, PK: v.PK}
	if strings.TrimSpace(k.PK) == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		k.PK = id.String()
	}
	if err := engine.ValidateTable(k.Table); err != nil {
		v.TableError = sentenceOf(err)
		return t.showNew(c, http.StatusBadRequest, v)
	}
	if err := k.Validate(); err != nil {
		v.KeyError = sentenceOf(err)
		return t.showNew(c, http.StatusBadRequest, v)
	}
	_, err = t.apply(c.Context(), engine.Op{Kind: engine.OpPut, Key: k, Doc: []byte(v.Text), IfAbsent: true})
	switch kind := errs.KindOf(err); {
	case err == nil:
		return t.frame.Done(c, k.String()+" was created.", tablePath(k.Table, "entity"), "pk", k.PK)
	case kind == errs.Precondition:
		v.KeyError = "There is an entity with this key already. Nothing was changed; choose another key, or edit that entity."
		return t.showNew(c, http.StatusConflict, v)
	case kind == errs.Invalid || kind == errs.Conflict:
		v.Error = sentenceOf(err)
		return t.showNew(c, http.StatusBadRequest, v)
	}
	return err
}

// editAction is where the form goes.
func editAction(ctx context.Context, v Edit) templ.SafeURL {
	if v.New {
		return view.URL(ctx, "create")
	}
	return view.URL(ctx, tablePath(v.Table, "edit"), "pk", v.PK)
}

// editLabel says what the form does.
func editLabel(v Edit) string {
	switch {
	case v.New:
		return "Create entity"
	case v.Gone:
		return "Create it again"
	case v.Stored != nil:
		return "Replace version " + format.Count(v.Version)
	}
	return "Save"
}

// editRows is the height of the field for a text.
func editRows(text string) string {
	return strconv.Itoa(min(max(strings.Count(text, "\n")+2, 10), 30))
}

func (t *Tables) newEntity(c fiber.Ctx) error {
	v := Edit{New: true, Table: page.Query(c, "table"), PK: page.Query(c, "pk")}
	return t.showNew(c, http.StatusOK, v)
}

// maxOffered is how many tables are offered to choose from.
const maxOffered = 200

func (t *Tables) showNew(c fiber.Ctx, status int, v Edit) error {
	v.Tables = t.tableNames()
	return t.showEdit(c, status, v)
}

// tableNames are the names of tables to choose from.
func (t *Tables) tableNames() []string {
	names := t.db.TableNames()
	return names[:min(len(names), maxOffered)]
}
