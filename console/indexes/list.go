package indexes

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/vccdb/vccdb/console/components"
	"github.com/vccdb/vccdb/console/format"
	"github.com/vccdb/vccdb/console/page"
	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/jobs"
	"github.com/vccdb/vccdb/engine/schema"
)

const (
	pageRows = 100
	// failureStays is how long a failed build is shown above the list.
	failureStays = 15 * time.Minute
)

// listQuery is what the list's URL asks for.
type listQuery struct {
	// Text is in the name, Table is the table; Type and State are exact too.
	Text, Table, Type, State string
	// Sort is table, entries or bytes.
	Sort string
	Page int
}

func listQueryOf(c fiber.Ctx) listQuery {
	q := listQuery{Text: page.Query(c, "q"), Table: page.Query(c, "table"), Type: page.Query(c, "type"), State: page.Query(c, "state"), Sort: page.Query(c, "sort")}
	q.Page, _ = strconv.Atoi(c.Query("page")) // anything else is the first
	q.Page = max(q.Page, 1)
	return q
}

// with are the parameters of the same list with one of them changed; it then
// begins at its first page, unless that is what is changed.
func (q listQuery) with(name, value string) []string {
	page := ""
	if q.Page > 1 && name == "" {
		page = strconv.Itoa(q.Page)
	}
	query := []string{"q", q.Text, "table", q.Table, "type", q.Type, "state", q.State, "sort", q.Sort, "page", page}
	for i := 0; i < len(query); i += 2 {
		if query[i] == name {
			query[i+1] = value
		}
	}
	return query
}

// sorted is how the list is sorted by a column, as aria-sort has it.
func (q listQuery) sorted(by string) string {
	switch {
	case q.Sort != by:
		return "none"
	case by == "":
		return "ascending"
	}
	return "descending"
}

// narrowed says whether the list leaves anything out.
func (q listQuery) narrowed() bool { return q.Text+q.Table+q.Type+q.State != "" }

// listRow is an index in the list.
type listRow struct {
	components.Index
	Unique  bool
	Entries uint64
	Bytes   uint64
	// Memory is -1 for an index that has none of its own.
	Memory int64
	State  state
}

// state is where an index stands, for people.
type state struct {
	// Name is ready, building, rebuilding or loading; Kind that of its badge.
	Name, Kind string
	// Note says what that means, Short a little of it; both may be empty.
	Note, Short string
	// Job is what works on it; nil if nothing does.
	Job *jobs.Status
}

// listView is the list.
type listView struct {
	Query listQuery
	Rows  []listRow
	// Of Total indexes OfTable are of the table asked for and Matching fit the query;
	// First is the number of the first row.
	Total, OfTable, Matching, First int
	// Sums over those that match.
	Entries, Bytes uint64
	Memory         int64
	// Jobs are those that work on indexes, and those that failed lately.
	Jobs []jobs.Status
	Next int
}

// listOf picks and sorts what the query asks for.
func listOf(infos []engine.IndexInfo, q listQuery, known []jobs.Status, now time.Time) listView {
	v := listView{Query: q, Jobs: indexJobs(known, q.Table, now)}
	byID := map[string]*jobs.Status{}
	for i := range known {
		byID[known[i].ID] = &known[i]
	}
	rebuilds := map[string]string{}
	for i := range infos {
		if infos[i].Rebuild {
			rebuilds[indexOf(&infos[i]).Name()] = infos[i].JobID
		}
	}
	for i := range infos {
		info := &infos[i]
		if info.Rebuild {
			continue
		}
		v.Total++
		if info.Table == q.Table {
			v.OfTable++
		}
		row := listRow{Index: indexOf(info), Unique: info.Unique, Entries: info.EntryCount, Bytes: info.SizeBytes, Memory: -1}
		row.State = stateOf(info, byID[info.JobID], byID[rebuilds[row.Name()]])
		if info.Usage != nil {
			row.Memory = info.Usage.Memory()
		}
		if q.keeps(&row) {
			v.add(row)
		}
	}
	v.sort()
	return v
}

func (v *listView) add(row listRow) {
	v.Matching++
	v.Entries += row.Entries
	v.Bytes += row.Bytes
	v.Memory += max(row.Memory, 0)
	v.Rows = append(v.Rows, row)
}

func (v *listView) sort() {
	slices.SortStableFunc(v.Rows, func(a, b listRow) int {
		switch v.Query.Sort {
		case "entries":
			return cmp.Compare(b.Entries, a.Entries)
		case "bytes":
			return cmp.Compare(b.Bytes, a.Bytes)
		}
		return cmp.Or(cmp.Compare(a.Table, b.Table), slices.Compare(a.Columns, b.Columns))
	})
	from := min(min(v.Query.Page-1, len(v.Rows))*pageRows, len(v.Rows)) // whatever number was asked for
	to := min(from+pageRows, len(v.Rows))
	if to < len(v.Rows) {
		v.Next = v.Query.Page + 1
	}
	v.First, v.Rows = from+1, v.Rows[from:to]
}

func (q listQuery) keeps(row *listRow) bool {
	return (q.Table == "" || row.Table == q.Table) &&
		(q.Type == "" || row.Type == q.Type) &&
		(q.State == "" || (q.State == "ready") == (row.State.Name == "ready")) &&
		(q.Text == "" || strings.Contains(strings.ToLower(row.Name()), strings.ToLower(q.Text)))
}

// stateOf says where an index stands, from its own build and from a rebuild of it.
func stateOf(info *engine.IndexInfo, build, rebuild *jobs.Status) state {
	switch {
	case info.State == schema.StateBuilding:
		return state{Name: "building", Kind: "info", Job: build}
	case rebuild != nil:
		return state{Name: "rebuilding", Kind: "info", Job: rebuild, Note: "The present one serves meanwhile."}
	case info.Loading:
		return state{Name: "loading", Kind: "warn", Note: "Its vectors are being read from storage after a start."}
	case info.Usage != nil && info.Usage.Pending > 0:
		return state{Name: "ready", Kind: "ok", Note: pendingNote(info.Usage.Pending), Short: format.Count(info.Usage.Pending) + " not linked yet"}
	}
	return state{Name: "ready", Kind: "ok"}
}

// indexJobs are the jobs that build indexes, now or without success lately. Known
// are all jobs, newest first: what failed counts until it is tried again.
func indexJobs(known []jobs.Status, table string, now time.Time) []jobs.Status {
	var out []jobs.Status
	tried := map[string]bool{}
	for _, s := range known {
		switch s.Kind {
		case engine.IndexBuildKind, engine.IndexRebuildKind, engine.ReindexKind:
		default:
			continue
		}
		again := tried[s.Subject]
		tried[s.Subject] = true
		if table != "" && s.Subject != table && !strings.HasPrefix(s.Subject, table+".") {
			continue
		}
		if s.State == jobs.Running || s.State == jobs.Failed && !again && now.Sub(*s.Finished) < failureStays {
			out = append(out, s)
		}
	}
	return out
}

func (x *Indexes) list(c fiber.Ctx) error {
	q := listQueryOf(c)
	infos, err := x.db.IndexStats(c.Context(), "")
	if err != nil {
		return err
	}
	v := listOf(infos, q, x.db.Jobs().List(), time.Now())
	return x.frame.Show(c, page.Page{Title: "Indexes", Nav: nav, Wide: true, Actions: listActions(v)}, list(v))
}
