package ops

import (
	"time"

	"github.com/vccdb/vccdb/engine"
)

// HealthStats say whether the storage takes writes.
type HealthStats struct {
	Writable bool `json:"writable"`
	// Code is disk_full or storage_failed, empty while it is writable.
	Code string `json:"code,omitempty"`
	// FreeBytes is the space that is left on the disk. Below ReserveBytes writes
	// are refused; they go on at ResumeBytes.
	FreeBytes    uint64 `json:"free_bytes"`
	ReserveBytes uint64 `json:"reserve_bytes"`
	ResumeBytes  uint64 `json:"resume_bytes"`
	// Failures counts how often writing stopped, Resumes how often it went on.
	Failures uint64 `json:"failures"`
	Resumes  uint64 `json:"resumes"`
}

// ArchiveStats are the figures of the archive of writes, from which a database is
// restored to a point in time.
type ArchiveStats struct {
	Enabled bool `json:"enabled"`
	// LastSequence is the newest one that is in the archive. LagRows are behind it,
	// for LagSeconds.
	LastSequence uint64  `json:"last_sequence"`
	LagRows      uint64  `json:"lag_rows"`
	LagSeconds   float64 `json:"lag_seconds"`
	// The rest counts since the start. Behind a gap, a restore needs a newer
	// snapshot.
	Bytes     uint64 `json:"bytes"`
	Failures  uint64 `json:"failures"`
	Gaps      uint64 `json:"gaps"`
	LastError string `json:"last_error,omitempty"`
}

// CopyStats say when the newest copies of the database were made.
type CopyStats struct {
	LastSnapshot time.Time `json:"last_snapshot,omitzero"`
	LastBackup   time.Time `json:"last_backup,omitzero"`
}

func storageStats(s *engine.Stats) StorageStats {
	h, a := &s.Health, &s.Archive
	return StorageStats{
		RocksDB: rocksDB(s),
		Health: HealthStats{
			Writable: h.Writable, Code: h.Code, FreeBytes: h.FreeBytes, ReserveBytes: h.ReserveBytes, ResumeBytes: h.ResumeBytes,
			Failures: h.Failures, Resumes: h.Resumes,
		},
		Archive: ArchiveStats{
			Enabled: a.Enabled, LastSequence: uint64(a.LastSequence), LagRows: a.LagRows, LagSeconds: a.LagSeconds,
			Bytes: a.Bytes, Failures: a.Failures, Gaps: a.Gaps, LastError: a.LastError,
		},
		Copies: CopyStats{LastSnapshot: s.Copies.LastSnapshot.UTC(), LastBackup: s.Copies.LastBackup.UTC()},
	}
}

func (c *engineCollector) durabilityFigures() {
	gauge := func(name, help string, read func(*engine.Stats) float64) {
		c.gauge(name, help, func(s *engine.Stats, _ *VectorStats) float64 { return read(s) })
	}
	counter := func(name, help string, read func(*engine.Stats) float64) {
		c.counter(name, help, func(s *engine.Stats, _ *VectorStats) float64 { return read(s) })
	}
	gauge("vccdb_writable", "1 if the storage takes writes.",
		func(s *engine.Stats) float64 { return truth(s.Health.Writable) })
	gauge("vccdb_disk_reserve_bytes", "Free space below which writes are refused.",
		func(s *engine.Stats) float64 { return float64(s.Health.ReserveBytes) })
	counter("vccdb_write_stops_total", "How often the storage stopped taking writes.",
		func(s *engine.Stats) float64 { return float64(s.Health.Failures) })
	counter("vccdb_write_resumes_total", "How often it took them again.",
		func(s *engine.Stats) float64 { return float64(s.Health.Resumes) })
	gauge("vccdb_wal_archive_enabled", "1 if writes are archived.",
		func(s *engine.Stats) float64 { return truth(s.Archive.Enabled) })
	counter("vccdb_wal_archive_last_sequence", "Newest sequence in the archive.",
		func(s *engine.Stats) float64 { return float64(s.Archive.LastSequence) })
	gauge("vccdb_wal_archive_lag_rows", "Rows that aren't in the archive yet.",
		func(s *engine.Stats) float64 { return float64(s.Archive.LagRows) })
	gauge("vccdb_wal_archive_lag_seconds", "For how long rows haven't been in the archive.",
		func(s *engine.Stats) float64 { return s.Archive.LagSeconds })
	counter("vccdb_wal_archive_written_bytes_total", "Bytes appended to the archive.",
		func(s *engine.Stats) float64 { return float64(s.Archive.Bytes) })
	counter("vccdb_wal_archive_failures_total", "Tries to archive that failed; they are repeated.",
		func(s *engine.Stats) float64 { return float64(s.Archive.Failures) })
	counter("vccdb_wal_archive_gaps_total", "Parts of the history that the archive lacks for good.",
		func(s *engine.Stats) float64 { return float64(s.Archive.Gaps) })
	gauge("vccdb_last_snapshot_timestamp_seconds", "When the newest snapshot was made, in Unix time; 0 is never.",
		func(s *engine.Stats) float64 { return unixSeconds(s.Copies.LastSnapshot) })
	gauge("vccdb_last_backup_timestamp_seconds", "When the newest backup was made, in Unix time; 0 is never.",
		func(s *engine.Stats) float64 { return unixSeconds(s.Copies.LastBackup) })
}

// unixSeconds is 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
