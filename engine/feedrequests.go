package engine

import (
	"strings"
	"time"
)

// FeedOptions govern the change feed.
type FeedOptions struct {
	// Enabled records every change for readers of the feed.
	Enabled bool
	// Retention is how long events are kept at least; 168 h.
	Retention time.Duration
}

// DefaultFeedRetention is promised in the deployment guide.
const DefaultFeedRetention = 168 * time.Hour

// EnsureDefaults returns o with every unset field filled.
func (o FeedOptions) EnsureDefaults() FeedOptions {
	setDefault(&o.Retention, DefaultFeedRetention)
	return o
}

// FeedType says what an event did.
type FeedType string

// The types of events.
const (
	// FeedPut sets an entity to a document, whatever it was.
	FeedPut FeedType = "PUT"
	// FeedDelete removes an entity, by request or because its time was up.
	FeedDelete FeedType = "DELETE"
	// FeedDrop removes a table with all its entities.
	FeedDrop FeedType = "DROP"
)

// FeedEvent is one change. Events are shared between readers: they and what they
// point to must not be changed.
type FeedEvent struct {
	// Seq orders the events of the whole database. There are no gaps in it.
	Seq  uint64
	Type FeedType
	// Key has no PK in a FeedDrop.
	Key Key
	// Version is the entity's after a put and its last one for a delete; 0 in a
	// FeedDrop.
	Version uint64
	Time    time.Time
	// Doc is the object after a put, nil otherwise.
	Doc []byte
}

// FeedFilter selects events; its zero value selects all.
type FeedFilter struct {
	Table string
	// KeyPrefix is of the whole key, table:pk. The drop of a table passes if any
	// key of the table could.
	KeyPrefix string
}

func (f *FeedFilter) match(table, pk string, typ FeedType) bool {
	if f.Table != "" && f.Table != table {
		return false
	}
	prefix, ok := f.KeyPrefix, true
	for _, part := range []string{table, ":", pk} {
		if len(prefix) <= len(part) {
			return strings.HasPrefix(part, prefix)
		}
		if prefix, ok = strings.CutPrefix(prefix, part); !ok {
			return false
		}
	}
	return typ == FeedDrop
}

// FeedPage is a part of the feed.
type FeedPage struct {
	Events []FeedEvent
	// Latest is the newest change's sequence, Next where to read on: the last
	// sequence looked at, matching or not. When they are equal there is nothing
	// more for now; a page may be empty without that.
	Latest, Next uint64
}

// FeedStats are the change feed's figures. While the feed is off, the events it
// had are still kept, and counted, until their time is up.
type FeedStats struct {
	Enabled bool
	// Oldest is the sequence of the oldest event that can be read, Latest that of
	// the newest one; Oldest is Latest+1 when there are none.
	Oldest, Latest uint64
	// Events and Bytes are what is kept; Bytes is estimated, memtables included.
	Events, Bytes uint64
	Retention     time.Duration
	// Streams and Waiting count those who are connected now: streams, and callers
	// of WaitFeed, which streams are among while they have nothing to do.
	Streams, Waiting int
	// SlowReadersCut counts streams that were ended because they didn't keep up,
	// EventsRead the events handed to readers, EventsTrimmed those that retention
	// has removed; all since the start.
	SlowReadersCut, EventsRead, EventsTrimmed uint64
}
