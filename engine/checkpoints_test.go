package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/internal/testkit"
)

const saveOnlyWhenAsked = -1

// vectorsOf opens a database with a vector index and some vectors in it, which is
// checked, index against storage, when the test ends.
func vectorsOf(t *testing.T, dir string) *testkit.DB {
	t.Helper()
	opts := testkit.Options(dir)
	opts.Vector.CheckpointInterval = saveOnlyWhenAsked
	db := testkit.OpenWith(t, opts)
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2"}})
	r := rand.New(rand.NewPCG(1, 1))
	var ops []engine.Op
	for i := range 500 {
		ops = append(ops, testkit.Put(fmt.Sprintf("t:%d", i), map[string]any{"v": randomVector(r)}))
	}
	db.Do(ops...)
	return db
}

func randomVector(r *rand.Rand) []any {
	return []any{r.NormFloat64(), r.NormFloat64(), r.NormFloat64(), r.NormFloat64()}
}

func save(t *testing.T, db *testkit.DB) engine.Checkpoint {
	t.Helper()
	made, err := db.SaveVectors(t.Context(), "t", "v")
	if err != nil || len(made) != 1 {
		t.Fatalf("%+v %v", made, err)
	}
	return made[0]
}

// source is where the vectors were loaded from.
func source(t *testing.T, db *testkit.DB) string {
	t.Helper()
	db.WaitReady()
	infos, err := db.VectorStats(t.Context(), "t", "v")
	if err != nil || len(infos) != 1 {
		t.Fatal(infos, err)
	}
	if infos[0].Checkpoint == nil {
		return "storage"
	}
	return infos[0].Checkpoint.Source
}

func indexFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "indexes", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// checkReopened opens the database anew, expects the vectors from there, and holds the
// index against storage.
func checkReopened(t *testing.T, db *testkit.DB, want string) {
	t.Helper()
	db.Reopen()
	checkSource(t, db, want)
}

// checkOpened opens the database, which is closed, at dir.
func checkOpened(t *testing.T, db *testkit.DB, dir, want string) {
	t.Helper()
	opts := testkit.Options(dir)
	opts.Vector.CheckpointInterval = saveOnlyWhenAsked
	e, err := engine.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	db.Engine = e
	checkSource(t, db, want)
}

func checkSource(t *testing.T, db *testkit.DB, want string) {
	t.Helper()
	if got := source(t, db); got != want {
		t.Errorf("the vectors came from the %s, not the %s", got, want)
	}
	db.Check()
}

// TestLoadCheckpoint: a start has what the checkpoint has and what was changed since.
func TestLoadCheckpoint(t *testing.T) {
	db := vectorsOf(t, t.TempDir())
	checkReopened(t, db, "storage")
	c := save(t, db)
	if c.Epoch != 1 || c.Sequence != 500 || c.Behind != 0 || c.Bytes == 0 || c.Written != c.Bytes {
		t.Errorf("the first checkpoint: %+v", c)
	}
	checkReopened(t, db, "checkpoint")
	r := rand.New(rand.NewPCG(2, 2))
	for i := range 60 {
		db.Put(fmt.Sprintf("t:%d", r.IntN(700)), map[string]any{"v": randomVector(r)})
		db.Put(fmt.Sprintf("t:%d", i), map[string]any{"other": "no vector any more"})
		db.Delete(fmt.Sprintf("t:%d", 100+i))
	}
	checkReopened(t, db, "checkpoint")
	checkReopened(t, db, "checkpoint")
	if c := save(t, db); c.Epoch != 2 || c.Sequence != 680 {
		t.Errorf("the second checkpoint: %+v", c)
	}
	checkReopened(t, db, "checkpoint")
	// An oplog that doesn't go back far enough any more.
	db.Put("t:1", map[string]any{"v": randomVector(r)})
	db.Put("t:3", map[string]any{})
	ops := make([]engine.Op, 1000)
	for range 11 {
		for i := range ops {
			ops[i] = testkit.Put(fmt.Sprintf("u:%d", i), "{}")
		}
		db.Do(ops...)
	}
	if err := engine.TrimOplog(db.Engine); err != nil {
		t.Fatal(err)
	}
	checkReopened(t, db, "checkpoint")
}

// TestDamagedCheckpoints: whatever is done to the files, a start has what is stored.
func TestDamagedCheckpoints(t *testing.T) {
	for name, damage := range map[string]struct {
		do     func(file string) error
		source string
	}{
		"everything removed": {os.Remove, "storage"},
		"manifests cut": {func(file string) error {
			if strings.Contains(file, "MANIFEST") {
				return os.Truncate(file, 40)
			}
			return nil
		}, "storage"},
		"blocks changed": {func(file string) error {
			if !strings.Contains(file, "blocks") {
				return nil
			}
			b, err := os.ReadFile(file)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(file, b, 0o600)
			}
			return err
		}, "storage"},
		"the newest manifest removed": {func(file string) error {
			if strings.HasSuffix(file, "MANIFEST-0000000000000002") {
				return os.Remove(file)
			}
			return nil
		}, "checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := vectorsOf(t, dir)
			save(t, db)
			db.Put("t:1", map[string]any{"v": []any{1, 2, 3, 4}})
			save(t, db)
			db.Delete("t:2")
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			files := indexFiles(t, dir)
			if len(files) < 3 {
				t.Fatal("files:", files)
			}
			for _, file := range files {
				if err := damage.do(file); err != nil {
					t.Fatal(err)
				}
			}
			checkOpened(t, db, dir, damage.source)
			save(t, db)
			checkReopened(t, db, "checkpoint")
		})
	}
}

// TestForeignCheckpoints: the checkpoints of another history of the database aren't
// loaded.
func TestForeignCheckpoints(t *testing.T) {
	t.Run("restored", func(t *testing.T) {
		dir := t.TempDir()
		db := vectorsOf(t, dir)
		save(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := engine.NewTimeline(dir); err != nil {
			t.Fatal(err)
		}
		checkOpened(t, db, dir, "storage")
	})
	t.Run("put back by hand", func(t *testing.T) {
		dir, old := t.TempDir(), t.TempDir()
		db := vectorsOf(t, dir)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		checkOpened(t, db, dir, "storage")
		db.Put("t:1", map[string]any{"v": []any{1, 2, 3, 4}})
		save(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		// The database of before, with the indexes of now.
		if err := os.RemoveAll(filepath.Join(old, "indexes")); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(old, "indexes"), os.DirFS(filepath.Join(dir, "indexes"))); err != nil {
			t.Fatal(err)
		}
		checkOpened(t, db, old, "storage")
	})
}

// TestTimedCheckpoints: indexes are saved a while after a change, after many changes at
// once, and at a stop; else they aren't.
func TestTimedCheckpoints(t *testing.T) {
	db := vectorsOf(t, t.TempDir())
	epoch := func() uint64 {
		infos, err := db.VectorStats(t.Context(), "t", "v")
		if err != nil {
			t.Fatal(err)
		}
		if infos[0].Checkpoint == nil {
			return 0
		}
		return infos[0].Checkpoint.Epoch
	}
	await := func(want uint64) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); epoch() < want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("epoch %d, not %d", epoch(), want)
			}
		}
	}
	db.SetOptions(func(o *engine.Options) { o.Vector.CheckpointInterval = 5 * time.Millisecond })
	db.Reopen()
	db.Put("t:1", map[string]any{"v": []any{1, 2, 3, 4}})
	await(1)
	db.Put("t:1", map[string]any{"v": []any{1, 2, 3, 5}})
	await(2)
	db.SetOptions(func(o *engine.Options) { o.Vector.CheckpointInterval, o.Vector.CheckpointOperations = time.Hour, 10 })
	db.Reopen()
	before := epoch()
	for i := range 10 {
		db.Put(fmt.Sprintf("t:%d", i), map[string]any{"v": []any{1, 2, 3, 4}})
	}
	await(before + 1)
	db.Put("t:1", map[string]any{"v": []any{1, 2, 3, 6}})
	db.SetOptions(func(o *engine.Options) { o.Vector.CheckpointInterval = saveOnlyWhenAsked })
	db.Reopen()
	if got := epoch(); got != before+2 {
		t.Errorf("epoch %d after a stop, not %d", got, before+2)
	}
	db.Put("t:1", map[string]any{"v": []any{1, 2, 3, 7}})
	db.Reopen()
	if got := epoch(); got != before+2 {
		t.Errorf("epoch %d although nothing was to be saved", got)
	}
	stats, err := db.Stats()
	if err != nil || stats.Checkpoints.Failures != 0 {
		t.Errorf("%+v %v", stats.Checkpoints, err)
	}
}

// TestCheckpointsKeepOplog: what the older epoch needs of the oplog isn't trimmed.
func TestCheckpointsKeepOplog(t *testing.T) {
	db := vectorsOf(t, t.TempDir())
	if got := engine.OplogNeeded(db.Engine); got != 500 {
		t.Errorf("without a checkpoint: %d", got)
	}
	save(t, db)
	db.Put("t:1", map[string]any{"a": 1})
	save(t, db)
	db.Put("t:1", map[string]any{"a": 2})
	if got := engine.OplogNeeded(db.Engine); got != 500 {
		t.Errorf("with two checkpoints: %d", got)
	}
	save(t, db)
	if got := engine.OplogNeeded(db.Engine); got != 501 {
		t.Errorf("with a third: %d", got)
	}
	db.Reopen()
	db.WaitReady()
	if got := engine.OplogNeeded(db.Engine); got != 501 {
		t.Errorf("after a start: %d", got)
	}
}

// TestDroppedIndexLeavesNoFiles, nor one that was rebuilt, nor one whose files a crash
// left.
func TestDroppedIndexLeavesNoFiles(t *testing.T) {
	dir := t.TempDir()
	db := vectorsOf(t, dir)
	save(t, db)
	job, err := db.RebuildIndex(t.Context(), "t", []string{"v"}, schema.Vector)
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	save(t, db)
	folders := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "indexes", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := folders(); len(got) != 1 {
		t.Errorf("after a rebuild: %v", got)
	}
	checkReopened(t, db, "checkpoint")
	if err := db.DropIndex(t.Context(), "t", []string{"v"}, schema.Vector); err != nil {
		t.Fatal(err)
	}
	if got := folders(); len(got) != 0 {
		t.Errorf("after the drop: %v", got)
	}
	for _, name := range []string{"77", "notes"} {
		if err := os.MkdirAll(filepath.Join(dir, "indexes", name), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	db.Reopen()
	if got := folders(); len(got) != 1 || filepath.Base(got[0]) != "notes" {
		t.Errorf("after a start: %v", got)
	}
}

// TestSaveWhileChanging saves while many write, rebuild and search, over restarts.
func TestSaveWhileChanging(t *testing.T) {
	db := vectorsOf(t, t.TempDir())
	for round := range 3 {
		stop := make(chan struct{})
		var busy sync.WaitGroup
		for worker := range 3 {
			busy.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(worker)))
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					op := testkit.Put(fmt.Sprintf("t:%d", r.IntN(800)), map[string]any{"v": randomVector(r)})
					if r.IntN(4) == 0 {
						op = engine.Op{Kind: engine.OpDelete, Key: op.Key}
					}
					results, err := db.Apply(t.Context(), []engine.Op{op}, false)
					if err != nil || results[0].Err != nil && errs.KindOf(results[0].Err) != errs.NotFound {
						t.Error(err, results)
						return
					}
				}
			})
		}
		for range 4 {
			save(t, db)
		}
		close(stop)
		busy.Wait()
		checkReopened(t, db, "checkpoint")
	}
}

// TestSaveVectorsErrors: what can't be saved is refused by name.
func TestSaveVectorsErrors(t *testing.T) {
	opts := testkit.Options(t.TempDir())
	opts.Vector.Engine = "flat"
	db := testkit.OpenWith(t, opts)
	if _, err := db.SaveVectors(t.Context(), "", ""); errs.CodeOf(err) != "index_not_found" {
		t.Error(err)
	}
	db.Index(schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2"}})
	db.Put("t:1", map[string]any{"v": []any{1, 2}})
	if _, err := db.SaveVectors(t.Context(), "nothing", ""); errs.CodeOf(err) != "table_not_found" {
		t.Error(err)
	}
	if _, err := db.SaveVectors(t.Context(), "t", ""); errs.CodeOf(err) != "not_supported" {
		t.Error(err)
	}
	if made, err := db.SaveVectors(t.Context(), "", ""); err != nil || len(made) != 0 {
		t.Error(made, err)
	}
}

// TestNoRoom: vectors that there was no room for are found once there is, and meanwhile
// no checkpoint is made that lacks them.
func TestNoRoom(t *testing.T) {
	db := vectorsOf(t, t.TempDir())
	save(t, db)
	for try := 0; ; try++ {
		room, err := engine.FillIndex(db.Engine, "t")
		if err != nil {
			t.Fatal(err)
		}
		db.Put("t:1", map[string]any{"v": []any{1, 2, 3 + try, 4}})
		db.Put("t:2", map[string]any{"v": []any{1, 2, 3 + try, 5}})
		db.Put("t:3", map[string]any{"v": []any{1, 2, 3 + try, 6}})
		room()
		_, err = db.SaveVectors(t.Context(), "t", "v")
		if errs.CodeOf(err) == "index_incomplete" {
			break
		}
		if err != nil || try == 5 { // they may be tried again this very moment, but not each time
			t.Fatal(err)
		}
	}
	db.Delete("t:2")
	db.Put("t:3", map[string]any{"v": []any{1, 2, 3, 7}})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := db.SaveVectors(t.Context(), "t", "v"); err == nil {
			break
		} else if errs.CodeOf(err) != "index_incomplete" || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	db.Check()
	checkReopened(t, db, "checkpoint")
}
