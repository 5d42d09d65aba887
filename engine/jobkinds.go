package engine

// The kinds of the engine's jobs.
const (
	IndexBuildKind   = "index_build"
	IndexRebuildKind = "index_rebuild"
	// ReindexKind rebuilds all indexes of a table.
	ReindexKind = "reindex"
	// RecallCurveKind measures a RecallCurve, which is the result.
	RecallCurveKind = "recall_curve"
	DeleteKind      = "delete"
	CompactKind     = "compact"
	SnapshotKind    = "snapshot"
	BackupKind      = "backup"
	// The subjects of the jobs that verify copies are a snapshot's name and a
	// BackupName, their results Verifications.
	SnapshotVerifyKind = "snapshot_verify"
	BackupVerifyKind   = "backup_verify"
)
