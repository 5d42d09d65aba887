package tables

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
)

// listPage is how many tables a page lists.
const listPage = 100

// List is the list of tables.
type List struct {
	Rows []ListRow
	// Search is the part of a name that was looked for, Sort the column, with a
	// minus for the greatest first.
	Search, Sort string
	// All tables, and Found of them, of which Rows begin at From.
	All, Found, From int
	Entities, Bytes  uint64
}

// ListRow is a table in a list.
type ListRow struct {
	Name            string
	Entities, Bytes uint64
	Indexes         int
	// Kinds are the types of its indexes, with how many there are of each.
	Kinds []string
	// Building says that an index is being built.
	Building bool
}

// sortTables sorts by a column, with a minus from the greatest on.
func sortTables(infos []engine.TableInfo, by string) {
	column, descending := strings.CutPrefix(by, "-")
	slices.SortStableFunc(infos, func(a, b engine.TableInfo) int {
		order := 0
		switch column {
		case "entities":
			order = cmp.Compare(a.Entities, b.Entities)
		case "size":
			order = cmp.Compare(a.SizeBytes, b.SizeBytes)
		case "indexes":
			order = cmp.Compare(len(a.Indexes), len(b.Indexes))
		}
		if order == 0 {
			order = strings.Compare(a.Name, b.Name)
			if column != "name" { // among equals by name, upwards
				return order
			}
		}
		if descending {
			return -order
		}
		return order
	})
}

// newList is one page of the tables whose names hold search.
func newList(infos []engine.TableInfo, search, sort string, from int) List {
	switch strings.TrimPrefix(sort, "-") {
	case "entities", "size", "indexes", "name":
	default:
		sort = "name"
	}
	l := List{Search: search, Sort: sort, All: len(infos)}
	needle := strings.ToLower(search)
	infos = slices.DeleteFunc(slices.Clone(infos), func(i engine.TableInfo) bool {
		l.Entities += i.Entities
		l.Bytes += i.SizeBytes
		return !strings.Contains(strings.ToLower(i.Name), needle)
	})
	l.Found = len(infos)
	sortTables(infos, sort)
	if from < 0 || from >= len(infos) {
		from = 0
	}
	l.From = from
	for _, i := range infos[from:min(from+listPage, len(infos))] {
		l.Rows = append(l.Rows, listRow(i))
	}
	return l
}

func listRow(i engine.TableInfo) ListRow {
	row := ListRow{Name: i.Name, Entities: i.Entities, Bytes: i.SizeBytes, Indexes: len(i.Indexes)}
	counts := map[schema.IndexType]int{}
	for _, ix := range i.Indexes {
		counts[ix.Type]++
		row.Building = row.Building || ix.State == schema.StateBuilding
	}
	for kind, n := range counts {
		text := string(kind)
		if n > 1 {
			text += " × " + strconv.Itoa(n)
		}
		row.Kinds = append(row.Kinds, text)
	}
	slices.Sort(row.Kinds)
	return row
}

// next is where the page behind this one begins.
func (l List) next() int { return l.From + len(l.Rows) }

// shown says which of the tables a page has.
func (l List) shown() string {
	switch {
	case l.Found == 0:
		return "No table is called that."
	case l.Found == len(l.Rows):
		return format.Plural(l.Found, "table", "tables")
	}
	return format.Count(l.From+1) + " to " + format.Count(l.From+len(l.Rows)) + " of " + format.Count(l.Found) + " tables"
}

// query are the list's parameters with another beginning.
func (l List) query(from int) []string {
	q := []string{"q", l.Search, "sort", l.Sort}
	if from > 0 {
		q = append(q, "from", strconv.Itoa(from))
	}
	return q
}

// sortLink is the order that a click on a column's head asks for.
func (l List) sortLink(column string) []string {
	down := column != "name" // figures are sorted from the greatest
	if l.Sort == column || l.Sort == "-"+column {
		down = l.Sort == column
	}
	if down {
		column = "-" + column
	}
	return []string{"q", l.Search, "sort", column}
}

func (t *Tables) list(c fiber.Ctx) error {
	infos, err := t.db.Tables(c.Context())
	if err != nil {
		return err
	}
	from, _ := strconv.Atoi(page.Query(c, "from")) // anything else is the beginning
	l := newList(infos, strings.TrimSpace(page.Query(c, "q")), page.Query(c, "sort"), from)
	if page.IsPart(c) {
		return t.frame.Part(c, listTable(l))
	}
	return t.frame.Show(c, page.Page{Title: "Tables", Nav: nav, Actions: listActions()}, listContent(l))
}
