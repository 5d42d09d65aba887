package ops

import (
	"time"

	"github.com/vccdb/vccdb/engine"
)

// FeedStats are the change feed's figures. While it is off, the events it has
// kept are still counted.
type FeedStats struct {
	Enabled bool `json:"enabled"`
	// OldestSequence is that of the oldest event that can be read, LatestSequence
	// that of the newest change.
	OldestSequence uint64 `json:"oldest_sequence"`
	LatestSequence uint64 `json:"latest_sequence"`
	Events         uint64 `json:"events"`
	Bytes          uint64 `json:"bytes"`
	RetentionHours int    `json:"retention_hours"`
	// Streams are connected now; Waiting counts those of them, and long polls, that
	// have nothing to read.
	Streams int `json:"streams"`
	Waiting int `json:"waiting"`
	// The rest counts since the start.
	SlowReadersCut uint64 `json:"slow_readers_cut"`
	EventsRead     uint64 `json:"events_read"`
	EventsTrimmed  uint64 `json:"events_trimmed"`
}

func feedStats(f *engine.FeedStats) FeedStats {
	return FeedStats{
		Enabled: f.Enabled, OldestSequence: f.Oldest, LatestSequence: f.Latest, Events: f.Events, Bytes: f.Bytes,
		RetentionHours: int(f.Retention / time.Hour), Streams: f.Streams, Waiting: f.Waiting,
		SlowReadersCut: f.SlowReadersCut, EventsRead: f.EventsRead, EventsTrimmed: f.EventsTrimmed,
	}
}

func (c *engineCollector) feedFigures() {
	gauge := func(name, help string, read func(*engine.FeedStats) float64) {
		c.gauge(name, help, func(s *engine.Stats, _ *VectorStats) float64 { return read(&s.Feed) })
	}
	counter := func(name, help string, read func(*engine.FeedStats) float64) {
		c.counter(name, help, func(s *engine.Stats, _ *VectorStats) float64 { return read(&s.Feed) })
	}
	gauge("vccdb_changefeed_enabled", "1 if changes are recorded.",
		func(f *engine.FeedStats) float64 { return truth(f.Enabled) })
	gauge("vccdb_changefeed_oldest_sequence", "Sequence of the oldest event that can be read.",
		func(f *engine.FeedStats) float64 { return float64(f.Oldest) })
	counter("vccdb_changefeed_latest_sequence", "Sequence of the newest change.",
		func(f *engine.FeedStats) float64 { return float64(f.Latest) })
	gauge("vccdb_changefeed_events", "Events kept.",
		func(f *engine.FeedStats) float64 { return float64(f.Events) })
	gauge("vccdb_changefeed_size_bytes", "Disk space of the events, as RocksDB estimates.",
		func(f *engine.FeedStats) float64 { return float64(f.Bytes) })
	gauge("vccdb_changefeed_retention_seconds", "How long events are kept at least.",
		func(f *engine.FeedStats) float64 { return f.Retention.Seconds() })
	gauge("vccdb_changefeed_streams", "Streams connected.",
		func(f *engine.FeedStats) float64 { return float64(f.Streams) })
	gauge("vccdb_changefeed_waiting", "Streams and long polls with nothing to read now.",
		func(f *engine.FeedStats) float64 { return float64(f.Waiting) })
	counter("vccdb_changefeed_slow_readers_cut_total", "Streams ended because they didn't keep up.",
		func(f *engine.FeedStats) float64 { return float64(f.SlowReadersCut) })
	counter("vccdb_changefeed_events_read_total", "Events handed to readers.",
		func(f *engine.FeedStats) float64 { return float64(f.EventsRead) })
	counter("vccdb_changefeed_events_trimmed_total", "Events that retention removed.",
		func(f *engine.FeedStats) float64 { return float64(f.EventsTrimmed) })
}
