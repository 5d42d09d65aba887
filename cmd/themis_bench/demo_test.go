package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vccdb/vccdb/internal/dataset"
)

// buildServer builds themis_server into a folder of the test.
func buildServer(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "themis_server")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/vccdb/vccdb/cmd/themis_server").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// freePort is a port that nothing listens on, and none of those that systems give
// to connections by themselves.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		port := strconv.Itoa(30000 + rand.IntN(2000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return port
		}
	}
}

// demoWords writes a wink file with the most frequent words and those that the
// demo asks for, so that the test loads 2,000 words instead of 20,000.
func demoWords(t *testing.T) string {
	t.Helper()
	needed := []string{"king", "man", "woman", "queen", "coffee", "guitar", "physics", "paris"}
	text := []byte(`{"dimensions":100,"vectors":{`)
	for w, err := range dataset.EnglishWords() {
		if err != nil {
			t.Fatal(err)
		}
		if w.Rank <= 2000 || slices.Contains(needed, w.Text) {
			text = fmt.Appendf(text, "%q:", w.Text)
			text = append(appendVector(text, w.Vector), ',')
		}
	}
	text = append(bytes.TrimSuffix(text, []byte(",")), "}}"...)
	file := filepath.Join(t.TempDir(), "wink.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// stopDemo ends the server that a demo left running.
func stopDemo(t *testing.T, dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "server.pid"))
	if err != nil {
		return // it wasn't started
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// TestDemo runs the demo as a newcomer does, twice, against a real server.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	args := []string{"demo", "-start", buildServer(t), "-dir", dir, "-port", freePort(t), "-words", demoWords(t)}
	t.Cleanup(func() { stopDemo(t, dir) })
	for _, wants := range [][]string{
		{"Started themis_server", "Loading 2", "king", "queen", "plan index_optimized", "recall@10", "Try next:", "Stop it with"},
		{"A server runs at", "The table words is there", "queen", "recall@10"},
	} {
		var results, progress bytes.Buffer
		if err := run(t.Context(), args, output{&results, &progress}); err != nil {
			t.Fatalf("%v\n%s", err, results.String())
		}
		for _, want := range wants {
			if !strings.Contains(results.String(), want) {
				t.Errorf("%q is missing in\n%s", want, results.String())
			}
		}
	}
}

// TestMeasurementsOverHTTP runs the HTTP measurement and the soak, small,
// against servers that they start and stop themselves.
func TestMeasurementsOverHTTP(t *testing.T) {
	server := buildServer(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"recall", "-http", "-n", "500", "-nq", "20", "-dim", "8", "-ef", "100", "-clients", "1,3", "-time", "1ms"}, "| recall@10"},
		{[]string{"soak", "-n", "3000", "-dim", "8", "-searches", "10"}, "Recall@10 of 10 filtered searches: 1.0000"},
	} {
		dir := t.TempDir()
		t.Cleanup(func() { stopDemo(t, dir) })
		var results, progress bytes.Buffer
		err := run(t.Context(), append(test.args, "-start", server, "-dir", dir, "-port", freePort(t)), output{&results, &progress})
		if err != nil || !strings.Contains(results.String(), test.want) {
			t.Errorf("%v: %v\n%s", test.args, err, results.String())
		}
		if _, err := os.Stat(filepath.Join(dir, "server.pid")); err == nil {
			t.Errorf("%v left its server running", test.args)
		}
	}
}
