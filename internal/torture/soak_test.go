package torture

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var soak = flag.Duration("soak", 0, "how long TestSoak runs; 0 skips it")

// A soak fails when, from its second sixth to its last, the median of the memory
// grows by more than soakGrowthMiB or that of open files by more than
// soakGrowthFiles. The load writes the same keys over and over and the change feed
// is trimmed, so nothing should grow but the block cache, until it is full. (A
// backup opens all files for a moment.)
const (
	soakGrowthMiB   = 32
	soakGrowthFiles = 32
	soakEvents      = 20_000
)

// soakReport is what TestSoak measured.
type soakReport struct {
	Seconds       float64 `json:"seconds"`
	Writes        int     `json:"acknowledged_writes"`
	MemoryEarly   int     `json:"memory_mib_early"`
	MemoryLate    int     `json:"memory_mib_late"`
	MemoryHighest int     `json:"memory_mib_highest"`
	FilesEarly    int     `json:"open_files_early"`
	FilesLate     int     `json:"open_files_late"`
}

// TestSoak runs a server under a mixed load and watches its memory and its open
// files.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("no -soak was asked for")
	}
	h := newHome(t, t.TempDir())
	s := h.start(t)
	s.ready()
	createIndexes(s)
	l := newLoad(t, 4)
	l.pause = time.Millisecond
	side := &sideWork{t: t, keep: soakEvents}
	begin := time.Now()
	l.begin(s)
	side.begin(s)
	var memory, files []int
	for time.Since(begin) < *soak && !t.Failed() {
		time.Sleep(*soak / 180)
		memory = append(memory, resident(t, s.cmd.Process.Pid))
		files = append(files, openFiles(t, s.cmd.Process.Pid))
	}
	l.end()
	side.end()
	sixth := len(memory) / 6
	if sixth == 0 {
		t.Fatal("too few samples:", len(memory))
	}
	report := soakReport{
		MemoryEarly: median(memory[sixth : 2*sixth]), MemoryLate: median(memory[5*sixth:]), MemoryHighest: slices.Max(memory),
		FilesEarly: median(files[sixth : 2*sixth]), FilesLate: median(files[5*sixth:]),
	}
	report.Seconds = time.Since(begin).Seconds()
	report.Writes, _, _ = l.totals()
	found, actual := l.compare(s)
	side.compare(s, actual)
	if found != (losses{}) {
		t.Errorf("%+v", found)
	}
	s.stop()
	h.verify(t)
	if report.MemoryLate-report.MemoryEarly > soakGrowthMiB {
		t.Errorf("the server's memory grew: %+v", report)
	}
	if report.FilesLate-report.FilesEarly > soakGrowthFiles {
		t.Errorf("the server's open files grew: %+v", report)
	}
	publish(t, report)
}

func median(samples []int) int {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[len(sorted)/2]
}

// resident is a process's memory in MiB, without mapped files.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "RssAnon:" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatal("no RssAnon in the status")
	return 0
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
