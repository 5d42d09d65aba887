package torture

import (
	"flag"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var faults = flag.Int("faults", 0, "how many places of each failing system call TestFailingCalls tries; 0 is one of the first call only")

// firstLog is the write-ahead log of a database that was just made.
const firstLog = "000004.log"

// TestFailingCalls makes system calls of the server fail: what the disk says to
// its data, not how. Whatever fails, what was acknowledged is there after a
// restart, and what was refused is there as a whole or not at all.
func TestFailingCalls(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace isn't here; apt-get install strace")
	}
	if out, err := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("strace can't trace here: %v %s", err, out)
	}
	type fault struct {
		name string
		// call is the system call, of the write-ahead log's file alone if onLog is set.
		call, inject string
		onLog        bool
		code         string
		resumes      bool
	}
	all := []fault{
		// A sync that fails once: the next one would succeed, and the data be gone.
		{"a sync fails", "fdatasync", "error=EIO:when=%d", false, "storage_failed", false},
		{"all syncs fail", "fdatasync", "error=EIO:when=%d+", false, "storage_failed", false},
		{"a sync finds the disk full", "fdatasync", "error=ENOSPC:when=%d", false, "disk_full", true},
		{"a write of the log fails", "write", "error=EIO:when=%d", true, "storage_failed", false},
		{"a write of the log finds the disk full", "write", "error=ENOSPC:when=%d", true, "disk_full", true},
	}
	if *faults == 0 {
		all = all[:1]
	}
	for _, fault := range all {
		for n := range max(*faults, 1) {
			at := 25 + 9*n
			if fault.onLog {
				at = 15 + 4*n // before the server begins another log
			}
			t.Run(fmt.Sprintf("%s, the %dth", fault.name, at), func(t *testing.T) {
				h := newHome(t, t.TempDir())
				l := newLoad(t, 3)
				refused := make(chan string, 1)
				l.onRefusal = func(_ int, code string) {
					select {
					case refused <- code:
					default:
					}
				}
				wrapper := []string{strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + fault.call,
					"-e", "inject=" + fault.call + ":" + fmt.Sprintf(fault.inject, at)}
				if fault.onLog {
					wrapper = append(wrapper, "-P", filepath.Join(h.data, firstLog))
				}
				s := h.start(t, wrapper...)
				s.ready()
				createIndexes(s)
				l.begin(s)
				select {
				case code := <-refused:
					if code != fault.code {
						t.Errorf("the writes are refused with %s, want %s", code, fault.code)
					}
				case <-time.After(20 * time.Second):
					t.Errorf("no write was refused\n%s", s.logTail())
				}
				if fault.resumes {
					awaitWrites(s)
					l.end()
					l.resumed()
					l.compare(s)
				} else {
					l.end()
					stays(s, fault.code)
				}
				s.kill()
				s.noPanic()
				h.verify(t)
				s = h.start(t)
				s.ready()
				l.compare(s)
				s.stop()
			})
		}
	}
}

// stays wants a server whose disk failed to refuse writes for good and to read.
func stays(s *server, want string) {
	s.t.Helper()
	for range 5 {
		status, answer, err := s.call("PUT", "/entities/probe:1", "application/json", []byte("{}"))
		if err != nil || status != 503 || code(answer) != want {
			s.t.Errorf("a write after the failure: %d %s %v", status, answer, err)
		}
		time.Sleep(200 * time.Millisecond) // the store looks at its health meanwhile
	}
	status, answer, err := s.call("GET", "/readyz", "", nil)
	if err != nil || status != 503 {
		s.t.Errorf("/readyz: %d %s %v", status, answer, err)
	}
	s.must("POST", "/query", `{"table":"`+table+`","predicates":[{"column":"n","op":"gte","value":0}],"limit":5}`, nil)
}

// TestFileDescriptors runs a server that may open few files, and takes them all
// with connections. It has to answer again once they are gone.
func TestFileDescriptors(t *testing.T) {
	t.Parallel()
	h := newHome(t, t.TempDir())
	s := h.start(t, "sh", "-c", `ulimit -n 160; exec "$@"`, "sh")
	s.ready()
	createIndexes(s)
	l := newLoad(t, 3)
	l.onRefusal = func(int, string) {}
	l.begin(s)
	time.Sleep(200 * time.Millisecond)
	var taken []net.Conn
	for range 400 {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.base, "http://"), time.Second)
		if err != nil {
			break
		}
		taken = append(taken, conn)
	}
	time.Sleep(300 * time.Millisecond)
	for _, conn := range taken {
		conn.Close()
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if status, _, err := s.call("GET", "/livez", "", nil); err == nil && status == 200 {
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("the server doesn't answer after its descriptors are free again\n%s", s.logTail())
		}
	}
	l.end()
	if len(taken) < 160 {
		t.Error("too few connections to prove anything:", len(taken))
	}
	s.noPanic()
	s.kill()
	h.verify(t)
	s = h.start(t)
	s.ready()
	l.compare(s)
	s.stop()
}
