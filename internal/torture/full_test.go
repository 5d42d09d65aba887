package torture

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var fullDisks = flag.Int("fulldisks", 2, "how often TestFullDisk fills the disk")

// resumeLimit is how soon writes must go on once there is space.
const resumeLimit = 5 * time.Second

// fullReport is what TestFullDisk measured.
type fullReport struct {
	Cycles             int     `json:"cycles"`
	Killed             int     `json:"killed_while_full"`
	Writes             int     `json:"acknowledged_writes"`
	Refused            int     `json:"refused_writes"`
	Lost               int     `json:"lost"`
	Undone             int     `json:"deletes_undone"`
	Half               int     `json:"half_there"`
	ResumeMedianMillis float64 `json:"resume_median_ms"`
	ResumeMaxMillis    float64 `json:"resume_max_ms"`
}

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	path := t.TempDir()
	if err := syscall.Mount("themis-torture", path, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("mounting a small file system needs root:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return path
}

// fill takes the disk's space but for some bytes; the result gives it back.
func fill(t *testing.T, path string, leave int64) (free func()) {
	t.Helper()
	name := filepath.Join(path, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 10 { // the server writes meanwhile
		var disk syscall.Statfs_t
		if err := syscall.Statfs(path, &disk); err != nil {
			t.Fatal(err)
		}
		info, _ := f.Stat()
		size := info.Size() + int64(disk.Bavail)*disk.Bsize - leave
		if size <= info.Size() {
			break
		}
		_ = syscall.Fallocate(int(f.Fd()), 0, 0, size)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDisk fills the disk under load and frees it again, and kills the server
// in every third of these states.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "96m")
	h := newHome(t, disk)
	l := newLoad(t, 4)
	refused := watchRefusals(t, l)
	var report fullReport
	var resumes []time.Duration
	s := h.start(t)
	s.ready()
	createIndexes(s)
	for cycle := range *fullDisks {
		l.begin(s)
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		refused.reset()
		free := fill(t, disk, int64(rand.IntN(3))<<20)
		if !refused.await() {
			t.Fatalf("cycle %d: nothing was refused on a full disk\n%s", cycle, s.logTail())
		}
		checkFull(s)
		if cycle%3 == 2 {
			s.kill()
			l.end()
			s.noPanic()
			free()
			h.verify(t)
			s = h.start(t)
			s.ready()
			report.Killed++
		} else {
			l.end()
			free()
			resumes = append(resumes, awaitWrites(s))
			l.resumed()
		}
		found, _ := l.compare(s)
		report.Lost, report.Undone, report.Half = report.Lost+found.lost, report.Undone+found.undone, report.Half+found.half
		report.Cycles++
		if t.Failed() {
			t.Fatalf("cycle %d\n%s", cycle, s.logTail())
		}
	}
	// What failed before the last resume isn't there after a kill either.
	s.kill()
	s.noPanic()
	h.verify(t)
	s = h.start(t)
	s.ready()
	l.compare(s)
	s.stop()
	report.Writes, _, report.Refused = l.totals()
	slices.Sort(resumes)
	report.ResumeMedianMillis = milliseconds(resumes[len(resumes)/2])
	report.ResumeMaxMillis = milliseconds(resumes[len(resumes)-1])
	publish(t, report)
}

// refusals hears of refused writes.
type refusals struct {
	mu    sync.Mutex
	heard chan struct{}
}

// watchRefusals wants every refusal to be a 507 disk_full.
func watchRefusals(t *testing.T, l *load) *refusals {
	r := &refusals{}
	r.reset()
	l.onRefusal = func(status int, code string) {
		if status != 507 || code != "disk_full" {
			t.Errorf("a write on a full disk is answered with %d %s", status, code)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		select {
		case <-r.heard:
		default:
			close(r.heard)
		}
	}
	return r
}

func (r *refusals) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = make(chan struct{})
}

func (r *refusals) await() bool {
	r.mu.Lock()
	heard := r.heard
	r.mu.Unlock()
	select {
	case <-heard:
		return true
	case <-time.After(10 * time.Second):
		return false
	}
}

// checkFull wants a server on a full disk to say so and to go on reading.
func checkFull(s *server) {
	s.t.Helper()
	status, answer, err := s.call("GET", "/readyz", "", nil)
	if err != nil || status != 503 || !strings.Contains(string(answer), "disk is full") {
		s.t.Errorf("/readyz on a full disk: %d %s %v", status, answer, err)
	}
	s.must("GET", "/livez", "", nil)
	s.must("POST", "/query", `{"table":"`+table+`","predicates":[{"column":"n","op":"gte","value":0}],"limit":5}`, nil)
	s.must("POST", "/vector/search", `{"table":"`+table+`","column":"v","vector":[1,1,1],"k":3}`, nil)
}

// awaitWrites returns how long it takes until a write succeeds.
func awaitWrites(s *server) time.Duration {
	s.t.Helper()
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		status, answer, err := s.call("PUT", "/entities/probe:1", "application/json", []byte("{}"))
		if err != nil {
			s.t.Fatalf("%v\n%s", err, s.logTail())
		}
		took := time.Since(begin)
		if status/100 == 2 {
			if took > resumeLimit {
				s.t.Errorf("writes went on only %v after there was space", took)
			}
			s.ready()
			return took
		}
		if took > 2*resumeLimit {
			s.t.Fatalf("there is space, and after %v writes are refused: %d %s\n%s", took, status, answer, s.logTail())
		}
	}
}
