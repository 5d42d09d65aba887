package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fakeGPU makes the machine one with NVIDIA devices for the servers that the test
// starts from here on, and returns the settings with which they search on the first:
// a library that tells of devices, and a worker that computes on the CPU. That is a
// test binary of the supervisor, which is one when it is told so (package gputest).
func fakeGPU(t *testing.T) (settings []string) {
	t.Helper()
	dir := t.TempDir()
	run := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "GOWORK=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	run("cc", "-shared", "-fPIC", "-o", dir+"/libnvidia-ml.so.1", "testdata/nvml.c")
	run("go", "-C", root, "test", "-c", "-tags", "invariants", "-o", dir+"/worker.test", "./gpu/supervisor")
	worker := filepath.Join(dir, "worker")
	script := fmt.Sprintf("#!/bin/sh\necho $$ > %s/pid\nexec %s/worker.test gputest-worker %s/faults \"$@\"\n", dir, dir, dir)
	if err := os.WriteFile(worker, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LD_LIBRARY_PATH", dir)
	t.Setenv("FAKE_NVML_WORKER", dir+"/pid")
	return []string{"vector_index.use_gpu=true", "gpu.worker_path=" + worker, "gpu.memory_limit_mb=8192"}
}

// gpuStats is the part of /stats that tells of the GPU.
type gpuStats struct {
	Enabled bool
	Worker  struct {
		State string
		PID   int
	}
	Indexes []struct {
		State    string
		Searches int
	}
}

// gpu waits until what /stats tells of the GPU is as it should be.
func (s *server) gpu(what string, good func(*gpuStats) bool) gpuStats {
	s.t.Helper()
	var stats struct{ GPU gpuStats }
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		stats.GPU = gpuStats{}
		if err := json.Unmarshal(s.call("GET", "/stats", ""), &stats); err != nil {
			s.t.Fatal(err)
		}
		if good(&stats.GPU) {
			return stats.GPU
		}
	}
	s.t.Fatalf("%s: %+v", what, stats.GPU)
	return stats.GPU
}

// ready says that all indexes are on the device.
func (g *gpuStats) ready() bool {
	for _, i := range g.Indexes {
		if i.State != "ready" {
			return false
		}
	}
	return g.Enabled && len(g.Indexes) > 0
}

// searchOnBoth searches with and without filters, on the device and then on whichever
// side is quicker.
func (s *server) searchOnBoth(rounds int) {
	s.t.Helper()
	for i := range rounds {
		if i == 0 || i == rounds/2 {
			s.call("PUT", "/vector/index/config", fmt.Sprintf(`{"table": "words", "column": "embedding", "engine": "%s"}`, []string{"gpu", "auto"}[min(i, 1)]))
		}
		filter := ""
		if lengths := []int{0, 4, 7, 9, 12}; i%5 > 0 {
			filter = fmt.Sprintf(`, "predicates": [{"column": "length", "op": "gte", "value": %d}]`, lengths[i%5])
		}
		s.call("POST", "/vector/search", fmt.Sprintf(`{"table": "words", "key": "words:%s", "k": 10, "return": "keys"%s}`, []string{"coffee", "ocean", "paris"}[i%3], filter))
	}
}

// TestGPU looks at the page of the GPU without one and with one, whose worker is
// killed and started anew from the page.
func TestGPU(t *testing.T) {
	settings := fakeGPU(t)
	s := start(t, t.TempDir(), false, settings...)
	b := open(t, s.url, "light", desktop)
	b.visit("gpu")
	b.seeText("There is no vector index that could use a GPU yet.")
	b.seeText("Fake H100 80GB")
	b.check("gpu")

	s.loadWords(words)
	before := s.gpu("the words aren't on the device", (*gpuStats).ready)
	s.searchOnBoth(100)
	s.gpu("the device answers nothing", func(g *gpuStats) bool { return g.ready() && g.Indexes[0].Searches > 0 })
	b.visit("gpu")
	b.see("#gpu-now .badge-ok")
	b.seeText("this server's")
	b.seeText("words.embedding")
	b.see("[data-curve] canvas")
	b.see("#chart-answers canvas")
	b.check("gpu")

	b.click(".confirm summary")
	b.fill(`input[name="confirm"]`, "restart")
	b.follow(func() { b.press(".confirm form", "Restart the worker") })
	b.seeText("The worker is started anew")
	after := s.gpu("no other worker runs", func(g *gpuStats) bool { return g.ready() && g.Worker.PID != before.Worker.PID })
	if err := syscall.Kill(after.Worker.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.searchOnBoth(5)
	b.seeText("Last failure") // the page sees it by itself
	s.gpu("no worker came after the one that was killed", (*gpuStats).ready)
	if missing := strings.TrimSpace(eval[string](b, `[...document.querySelectorAll("#gpu-now .badge-danger")].map(e => e.textContent).join(" ")`)); missing != "" {
		t.Errorf("the page says %s", missing)
	}
}

// nearest searches exactly for the ten nearest to a word, and returns their keys and
// distances.
func (s *server) nearest(word string) (string, error) {
	body := fmt.Sprintf(`{"table": "words", "key": "words:%s", "k": 10, "exact": true, "return": "keys"}`, word)
	res, err := http.Post(s.url+"/vector/search", "application/json", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%d %s", res.StatusCode, text)
	}
	var answer struct{ Results json.RawMessage }
	err = json.Unmarshal(text, &answer)
	return string(answer.Results), err
}

// TestGPUWorkerKilled kills the worker under load: no search fails, and all have the
// answers that the CPU gave before. A restart cuts the pause after the second end
// short.
func TestGPUWorkerKilled(t *testing.T) {
	s := start(t, t.TempDir(), false, append(fakeGPU(t), "vector_index.use_gpu=false")...)
	s.loadWords(words)
	asked := []string{"coffee", "ocean", "paris", "king", "music", "water", "night", "city"}
	want := map[string]string{}
	for _, word := range asked {
		answer, err := s.nearest(word)
		if err != nil {
			t.Fatal(err)
		}
		want[word] = answer
	}
	s.call("PUT", "/vector/index/config", `{"table": "words", "column": "embedding", "engine": "gpu"}`)
	var load sync.WaitGroup
	defer load.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range 4 {
		load.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				word := asked[n%len(asked)]
				if got, err := s.nearest(word); err != nil || got != want[word] {
					t.Errorf("%s: %s %v, want %s", word, got, err, want[word])
					return
				}
			}
		})
	}
	answers := func(more int) gpuStats {
		return s.gpu("the device answers nothing", func(g *gpuStats) bool { return g.ready() && g.Indexes[0].Searches > more })
	}
	g := answers(20)
	for range 2 {
		if err := syscall.Kill(g.Worker.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.gpu("its end isn't noticed", func(now *gpuStats) bool { return now.Worker.PID != g.Worker.PID })
		s.call("POST", "/gpu/restart", "")
		g = answers(g.Indexes[0].Searches + 20)
	}
}

// TestGPUBench runs the measurement of a server with a GPU, which kills its worker.
func TestGPUBench(t *testing.T) {
	measure := func(url string) (string, error) {
		out, err := exec.Command(benchProgram, "gpu", "-url", url, "-n", "2000", "-dim", "16", "-nq", "20", "-clients", "4", "-time", "200ms", "-kills", "1").CombinedOutput()
		return string(out), err
	}
	without := start(t, t.TempDir(), false)
	if out, err := measure(without.url); err == nil || !strings.Contains(out, "the GPU doesn't answer: ") {
		t.Errorf("without a device: %v\n%s", err, out)
	}
	s := start(t, t.TempDir(), false, fakeGPU(t)...)
	out, err := measure(s.url)
	t.Log(out)
	if err != nil || !strings.Contains(out, "on fake device, 4 clients") || !strings.Contains(out, "\n| GPU  ") || !strings.Contains(out, " 0 failed, 0 exact ones were wrong") {
		t.Errorf("%v\n%s", err, out)
	}
}
