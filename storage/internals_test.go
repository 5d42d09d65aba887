package storage

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
)

// TestInternals: what was written is somewhere, and the parts add up to what
// Properties says of the whole.
func TestInternals(t *testing.T) {
	s := open(t, testOptions(t))
	var b Batch
	for id := range uint32(500) {
		b.PutEntity(1, id, fmt.Sprint(id), 1, bytes.Repeat([]byte{byte(id)}, 50))
	}
	commit(t, s, &b)
	must(t, s.Flush())
	in, err := s.Internals()
	must(t, err)
	p, err := s.Properties()
	must(t, err)
	var levelFiles, levelBytes, familyFiles, familyBytes, keys uint64
	for i, l := range in.Levels {
		if l.Files != p.FilesPerLevel[i] {
			t.Errorf("level %d has %d files, want %d", i, l.Files, p.FilesPerLevel[i])
		}
		levelFiles, levelBytes = levelFiles+l.Files, levelBytes+l.Bytes
	}
	for _, f := range in.Families {
		familyFiles, familyBytes, keys = familyFiles+f.Files, familyBytes+f.FileBytes, keys+f.Keys
		if f.Name == "entities" && (f.Keys != 500 || f.Files != 1 || f.FileBytes == 0) {
			t.Errorf("%+v", f)
		}
	}
	if levelFiles == 0 || levelFiles != familyFiles || levelBytes != familyBytes || levelBytes != p.TotalSSTFilesSizeBytes || keys != p.EstimateNumKeys {
		t.Errorf("levels have %d files of %d bytes, families %d of %d, together %d; %d keys of %d",
			levelFiles, levelBytes, familyFiles, familyBytes, p.TotalSSTFilesSizeBytes, keys, p.EstimateNumKeys)
	}
	if in.Work.WrittenToLog == 0 || in.Work.Syncs == 0 || in.Work.Flushed == 0 {
		t.Errorf("%+v", in.Work)
	}

	must(t, s.Close())
	_, err = s.Internals()
	wantError(t, err, errs.Unavailable, "storage_closed")
}
