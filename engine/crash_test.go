package engine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/vccdb/vccdb/engine"
	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/testkit"
)

var crashRounds = flag.Int("crash.rounds", 10, "how often TestKill9 kills the database")

// crashChildDir names the environment variable that turns the test binary into
// a database under load, to be killed.
const crashChildDir = "VCCDB_CRASH_CHILD_DIR"

const (
	crashWorkers = 4
	crashKeys    = 25
)

// crashDoc is step i of a key's life. Every fifth step deletes it.
func crashDeletes(i int) bool { return i%5 == 4 }

func crashDoc(key string, i int) string {
	return fmt.Sprintf(`{"n":%d,"owner":%q,"half":%d,"v":[%d,1,%d]}`, i, fmt.Sprintf("%s/%d", key, i), i/2, i%7, i%3)
}

// crashChild writes until it is killed and prints each acknowledged step. Each
// worker has keys of its own, and goes on where the one before it stopped.
func crashChild(dir string) {
	opts := testkit.Options(dir)
	opts.Storage.Durability = "sync"
	opts.Vector.CheckpointInterval = 2 * time.Millisecond // so that one is always being made
	e, err := engine.Open(context.Background(), opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		os.Exit(1)
	}
	var steps map[string]int
	if err := json.NewDecoder(os.Stdin).Decode(&steps); err != nil {
		fmt.Fprintln(os.Stderr, "steps:", err)
		os.Exit(1)
	}
	for _, def := range crashIndexes() {
		// It exists already in all rounds but the first.
		_, _ = e.CreateIndex(context.Background(), def)
	}
	fmt.Println("ready")
	for w := range crashWorkers {
		go func() {
			r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(w)))
			own := maps.Clone(steps)
			for {
				key := fmt.Sprintf("k%d", w*crashKeys+r.IntN(crashKeys))
				crashStep(e, key, own[key])
				fmt.Printf("%s %d\n", key, own[key])
				own[key]++
			}
		}()
	}
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			if job, err := e.RebuildIndex(context.Background(), "t", []string{"half"}, schema.Range); err == nil {
				_ = job.Wait(context.Background())
			}
		}
	}()
	select {}
}

func crashStep(e *engine.Engine, key string, i int) {
	op := testkit.Put("t:"+key, crashDoc(key, i))
	if crashDeletes(i) {
		op = engine.Op{Kind: engine.OpDelete, Key: testkit.Key("t:" + key)}
	}
	results, err := e.Apply(context.Background(), []engine.Op{op}, false)
	if err != nil || results[0].Err != nil {
		fmt.Fprintln(os.Stderr, "apply:", err, results)
		os.Exit(1)
	}
}

func crashIndexes() []schema.IndexDef {
	return []schema.IndexDef{
		{Table: "t", Columns: []string{"owner"}, Type: schema.Equality, Unique: true},
		{Table: "t", Columns: []string{"half"}, Type: schema.Range},
		{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Metric: "l2"}},
	}
}

// TestKill9 kills a database under load, again and again, and holds what is
// left against what was acknowledged. Killing a process doesn't lose what the
// operating system has, so this is a test of atomicity and recovery, not of
// fsync.
func TestKill9(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]int{}
	rounds := *crashRounds
	if testing.Short() {
		rounds = min(rounds, 3)
	}
	for round := range rounds {
		passed := t.Run(fmt.Sprint("round", round), func(t *testing.T) {
			killOnce(t, dir, acked, time.Duration(50+rand.IntN(150))*time.Millisecond)
			db := testkit.OpenWith(t, testkit.Options(dir))
			waitForBuilds(t, db)
			verifyAcked(t, db, acked)
		})
		if !passed {
			break
		}
	}
	if len(acked) == 0 {
		t.Fatal("nothing was ever acknowledged; the test proved nothing")
	}
}

// killOnce runs a child until it has been under load for that long.
func killOnce(t *testing.T, dir string, acked map[string]int, load time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashChildDir+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for key, i := range acked {
		next[key] = i + 1
	}
	if err := json.NewEncoder(stdin).Encode(next); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the child said %q: %v", line, err)
	}
	time.AfterFunc(load, func() { _ = cmd.Process.Kill() })
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var key string
		var i int
		if _, err := fmt.Sscanf(line, "%s %d\n", &key, &i); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		acked[key] = i
	}
	_ = cmd.Wait()
	if status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("the child ended by itself: %s", cmd.ProcessState)
	}
}

func waitForBuilds(t *testing.T, db *testkit.DB) {
	for _, s := range db.Jobs().List() {
		job, _ := db.Jobs().Get(s.ID)
		if err := job.Wait(t.Context()); err != nil {
			t.Errorf("job %+v: %v", s, err)
		}
	}
}

// verifyAcked checks that each key is in its last acknowledged state or, where
// the kill came between commit and acknowledgement, in the one after it; that
// one counts as acknowledged from here on.
func verifyAcked(t *testing.T, db *testkit.DB, acked map[string]int) {
	t.Helper()
	for k := range crashWorkers * crashKeys {
		key := fmt.Sprintf("k%d", k)
		last, ok := acked[key]
		if !ok {
			last = -1
		}
		have := db.GetDoc("t:" + key)
		switch have {
		case stateAfter(key, last):
		case stateAfter(key, last+1):
			acked[key] = last + 1
		default:
			t.Errorf("%s: acknowledged step %d, found %q", key, last, have)
		}
	}
}

func stateAfter(key string, i int) string {
	if i < 0 || crashDeletes(i) {
		return ""
	}
	return crashDoc(key, i)
}
