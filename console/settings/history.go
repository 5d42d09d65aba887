package settings

import (
	"time"

	"github.com/vccdb/vccdb/server/config"
)

// History is the page of changes, newest first.
type History struct{ Entries []HistoryEntry }

// HistoryEntry is one change of the configuration.
type HistoryEntry struct {
	Time      time.Time
	Who       string
	Persisted bool
	Changes   []HistoryChange
	// Revert is the time that names the entry; empty if nothing of it can be taken
	// back here.
	Revert string
	// Current is set if the settings still have the values it gave them.
	Current bool
}

// HistoryChange is one setting of it.
type HistoryChange struct{ Key, From, To string }

func newHistory(entries []config.Entry, settings []config.Setting) History {
	var h History
	for i := range entries {
		e := &entries[i]
		out := HistoryEntry{Time: e.Time, Who: e.Who, Persisted: e.Persisted, Current: true}
		for _, c := range e.Changes {
			out.Changes = append(out.Changes, HistoryChange{c.Key, shown(c.From), shown(c.To)})
			s := find(settings, c.Key)
			if s == nil || string(s.Value) != string(c.To) {
				out.Current = false
			}
			if s != nil && editable(s) && string(s.Value) != string(c.From) {
				out.Revert = e.Time.UTC().Format(time.RFC3339Nano)
			}
		}
		h.Entries = append(h.Entries, out)
	}
	return h
}
