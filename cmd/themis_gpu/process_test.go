// Package main_test builds the worker and runs it as it is released, over a driver of its
// own that has no device (testdata/driver.cpp). It needs CUDA's header, which only
// build/cuda.sh installs, so it has no build tag and is skipped elsewhere.
package main_test

import (
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/gpu/gputest"
	"github.com/vccdb/vccdb/gpu/selftest"
	"github.com/vccdb/vccdb/gpu/supervisor"
	"github.com/vccdb/vccdb/gpu/wire"
)

const root = "../.."

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestProcess is all of the worker but the driver and the device.
func TestProcess(t *testing.T) {
	if testing.Short() || exec.Command(root+"/build/cuda.sh", "--present").Run() != nil {
		t.Skip("CUDA's header isn't here; build/cuda.sh installs it")
	}
	dir := t.TempDir()
	build := exec.Command("build/cuda.sh", dir)
	build.Dir = root
	output(t, build)
	output(t, exec.Command("g++", "-std=c++17", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-Wno-unknown-pragmas", "-D_GNU_SOURCE",
		"-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-I", root+"/gpu/kernels/cuda",
		"-o", filepath.Join(dir, "libcuda.so.1"), "testdata/driver.cpp"))
	p := program{filepath.Join(dir, "themis_gpu"), dir}
	t.Run("libraries", p.testLibraries)
	t.Run("commands", p.testCommands)
	t.Run("selftest", p.testSelftest)
	t.Run("worker", p.testWorker)
	t.Run("refused", p.testRefused)
	t.Run("lost", p.testLost)
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// program is the worker's, and where the driver without a device is.
type program struct{ path, driver string }

func (p program) env(mode string) []string {
	return []string{"LD_LIBRARY_PATH=" + p.driver, "FAKE_DRIVER=" + mode}
}

// run runs the program to its end.
func (p program) run(mode string, args ...string) (string, int) {
	cmd := exec.Command(p.path, args...)
	cmd.Env = append(os.Environ(), p.env(mode)...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		return err.Error(), -1
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// testLibraries holds that the worker needs the driver and the C library, and nothing of
// the toolkit.
func (p program) testLibraries(t *testing.T) {
	file, err := elf.Open(p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	needed, err := file.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, library := range needed {
		if library != "libcuda.so.1" && !strings.HasPrefix(library, "libc.so.") && !strings.HasPrefix(library, "ld-linux") {
			t.Errorf("the worker needs %s", library)
		}
	}
}

func (p program) testCommands(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--version", 0, "themis_gpu (commit "},
		{"--help", 0, "--selftest"},
		{"--nonsense", 2, "See themis_gpu --help."},
		{"more", 2, `there is no argument "more"`},
		{"", 1, "is started by a Themis server"},
		{"--selftest --codes=int4", 2, `there are no codes "int4"`},
		{"--selftest --device=2", 1, "there is no device 2; CUDA sees 2"},
		{"--selftest --rows=a", 2, "no list of numbers"},
	} {
		if out, code := p.run("", strings.Fields(c.args)...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%q ends with %d, want %d and %q:\n%s", c.args, code, c.code, c.says, out)
		}
	}
	if out, code := p.run("old", "--selftest"); code != 1 || !strings.Contains(out, "7.5") {
		t.Errorf("a device that is too old: %d\n%s", code, out)
	}
	if out, code := p.run("no_device", "--selftest"); code != 1 || !strings.Contains(out, "NoDevice") {
		t.Errorf("no device: %d\n%s", code, out)
	}
}

// testSelftest runs it over the machine code's names and the PTX's.
func (p program) testSelftest(t *testing.T) {
	for mode, kernels := range map[string]string{"": "sm_90", "ptx": "ptx sm_80"} {
		file := filepath.Join(t.TempDir(), "report.json")
		out, code := p.run(mode, "--selftest", "--cases=6", "--work=1e5", "--rows=200", "--dims=20", "--batches=1,3", "--python=none", "--json="+file)
		if code != 0 || !strings.Contains(out, "✓ recall@k") {
			t.Errorf("%d\n%s", code, out)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r selftest.Report
		if err := json.Unmarshal(content, &r); err != nil || r.Device.Kernels != kernels || r.Cases == 0 || len(r.Timings) != 4 {
			t.Errorf("%v, %+v", err, r)
		}
	}
}

// start starts the worker as a server does.
func (p program) start(t *testing.T, mode string) *supervisor.Supervisor {
	s := supervisor.New(supervisor.Options{
		Command: []string{p.path}, Env: p.env(mode), Device: 1, MemoryLimit: 1 << 30, MaxBatch: 64, LatencyCap: time.Second,
		// A busy machine isn't a device that hangs.
		Misses: 600, SearchStall: time.Minute, UpdateStall: time.Minute, Backoff: time.Millisecond, Tries: 1,
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// fill makes an index of rows vectors of 1,100 dimensions, of which row i is near axis i.
func fill(ctx context.Context, session *supervisor.Session, rows int) (uint32, error) {
	const dim = 1100
	x, err := session.CreateIndex(ctx, wire.IndexSpec{Dim: dim, Metric: wire.Cosine, Seed: 1})
	if err != nil {
		return 0, err
	}
	ids, vectors := make([]uint32, rows), make([]float32, rows*dim)
	for i := range ids {
		ids[i] = uint32(3 * i)
		vectors[i*dim+i] = 3
		vectors[i*dim+i+1] = 0.1
	}
	return x, session.Put(ctx, x, ids, vectors)
}

func axis(i int) wire.Search {
	v := make([]float32, 1100)
	v[i] = 1
	return wire.Search{Vector: v, K: 2}
}

// testWorker puts and searches, with memory that is locked and that isn't.
func (p program) testWorker(t *testing.T) {
	for _, mode := range []string{"", "unpinned"} {
		s := p.start(t, mode)
		session := gputest.Session(t, s)
		if d := session.Device(); d.Name != "fake driver's device" || d.MemoryLimit != 1<<30 || d.ComputeMajor != 9 {
			t.Errorf("%+v", d)
		}
		x, err := fill(t.Context(), session, 60)
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Delete(t.Context(), x, []uint32{6}); err != nil {
			t.Fatal(err)
		}
		for i, first := range map[int]uint32{0: 0, 2: 3, 59: 177} { // 2's own was deleted: 1's is next
			a, err := session.Search(t.Context(), x, axis(i))
			want := 1 - 3/math.Sqrt(9.01)
			if i == 2 {
				want = 1 - 0.1/math.Sqrt(9.01)
			}
			if err != nil || len(a.Hits) != 2 || a.Hits[0].ID != first || math.Abs(float64(a.Hits[0].Distance)-want) > 1e-5 {
				t.Errorf("axis %d: %+v, %v; want %d at %v", i, a.Hits, err, first, want)
			}
		}
		all := axis(5)
		all.Exact, all.K, all.Allow = true, 10, []uint64{1<<15 | 1<<18}
		if a, err := session.Search(t.Context(), x, all); err != nil || len(a.Hits) != 2 || a.Hits[0].ID != 15 {
			t.Errorf("exact, of two allowed: %+v, %v", a.Hits, err)
		}
	}
}

// testRefused: why a device can't be used reaches the server.
func (p program) testRefused(t *testing.T) {
	for mode, why := range map[string]string{"old": "compute capability 7.5", "no_device": "NoDevice"} {
		s := p.start(t, mode)
		s.Want()
		if status := until(t, s, supervisor.GaveUp); !strings.Contains(status.Reason, why) {
			t.Errorf("%+v", status)
		}
	}
}

// testLost: a device that is lost ends the worker, with the reason.
func (p program) testLost(t *testing.T) {
	s := p.start(t, "lost:5")
	session := gputest.Session(t, s)
	x, err := fill(t.Context(), session, 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = session.Search(t.Context(), x, axis(1)); err == nil {
		t.Error("a device that is lost answers")
	}
	<-session.Done()
	var ended *supervisor.SessionError
	if err := session.Err(); !errors.As(err, &ended) || ended.Cause != supervisor.CauseLost {
		t.Errorf("%v", err)
	}
}

// until waits for a state.
func until(t *testing.T, s *supervisor.Supervisor, want supervisor.State) supervisor.Status {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for s.Status().State != want {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s.Status())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s.Status()
}
