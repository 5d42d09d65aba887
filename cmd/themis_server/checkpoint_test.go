package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestCheckpointSettings: vector indexes are saved as long after a change as is set, and
// after as many; a killed server then loads them.
func TestCheckpointSettings(t *testing.T) {
	saved := func(p *process) bool {
		_, answer := p.do("GET", "/vector/index/stats", "", nil)
		return strings.Contains(answer, `"checkpoint":{"epoch":`)
	}
	put := func(p *process, n int) {
		t.Helper()
		var lines strings.Builder
		for i := range n {
			fmt.Fprintf(&lines, `{"op":"put","key":"v:%d","entity":{"e":[%d,1]}}`+"\n", i, i)
		}
		if status, answer := p.do("POST", "/entities/batch", "application/x-ndjson", strings.NewReader(lines.String())); status != 200 {
			t.Fatal(status, answer)
		}
	}
	for name, setting := range map[string]struct {
		environ []string
		changes int
	}{
		"interval":   {[]string{"THEMIS_VECTOR_INDEX_CHECKPOINT_INTERVAL_SECONDS=1"}, 1},
		"operations": {[]string{"THEMIS_VECTOR_INDEX_CHECKPOINT_INTERVAL_SECONDS=86400", "THEMIS_VECTOR_INDEX_CHECKPOINT_OPERATIONS=1000"}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := startProcess(t, dir, setting.environ...)
			p.want("POST", "/index/create", `{"table":"v","column":"e","type":"vector","config":{"metric":"l2"}}`, 200, `"state":"ready"`)
			put(p, setting.changes)
			until(t, "a checkpoint", func() bool { return saved(p) })
			p.cmd.Process.Signal(os.Kill)
			<-p.read
			_ = p.cmd.Wait() // it was killed
			p = startProcess(t, dir, setting.environ...)
			until(t, "the index", func() bool {
				status, answer := p.do("POST", "/vector/search", "application/json", strings.NewReader(`{"vector":[0,1],"k":1}`))
				return status == 200 && strings.Contains(answer, `"pk":"0"`)
			})
			p.want("GET", "/vector/index/stats", "", 200, `"source":"checkpoint"`)
			p.cmd.Process.Signal(os.Interrupt)
			p.end()
		})
	}
}
