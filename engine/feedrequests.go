package engine

import "time"

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

// FeedStats are the change feed's figures. While the feed is off, the events it
// had are still kept, and counted, until their time is up.
type FeedStats struct {
	Enabled bool
	// Oldest is the sequence of the oldest event that can be read, Latest that of
	// the newest change; Oldest is Latest+1 when there are none.
	Oldest, Latest uint64
	// Events and Bytes are what is kept; Bytes is estimated, memtables included.
	Events, Bytes uint64
	Retention     time.Duration
	// Streams and Waiting count those who are connected now: streams, and long
	// polls that wait.
	Streams, Waiting int
	// SlowReadersCut counts streams that were ended because they didn't keep up,
	// EventsRead the events handed to readers, EventsTrimmed those that retention
	// has removed; all since the start.
	SlowReadersCut, EventsRead, EventsTrimmed uint64
}
