package config

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestCheckGolden compares the report of --validate with testdata, one file for
// each case. DIR and PORT stand for what differs between runs.
func TestCheckGolden(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	notFolder := filepath.Join(dir, "file")
	if err := os.WriteFile(notFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	takenPort := taken.Addr().(*net.TCPAddr).Port
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	freePort := free.Addr().(*net.TCPAddr).Port
	free.Close()

	machine := Machine{CPUs: 8, MemoryBytes: 4 << 30}
	tests := []struct {
		name string
		set  []string
		well bool
	}{
		{"good", nil, true},
		{"threads", []string{"server.worker_threads=2"}, true},
		{"bad", []string{
			"storage.rocksdb_path=" + notFolder + "/data", fmt.Sprintf("server.port=%d", takenPort),
			"storage.block_cache_size_mb=8192", "server.worker_threads=64"}, false},
		{"invalid", []string{"server.prot=1", "features.timeseries=true"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set := append([]string{"storage.rocksdb_path=" + data, fmt.Sprintf("server.port=%d", freePort)}, test.set...)
			var report strings.Builder
			if well := Check(&report, Source{Set: set}, machine); well != test.well {
				t.Errorf("Check = %t, want %t", well, test.well)
			}
			got := strings.NewReplacer(dir, "DIR", strconv.Itoa(takenPort), "PORT", strconv.Itoa(freePort), "PORT").Replace(report.String())
			golden(t, "testdata/validate_"+test.name+".txt", got)
		})
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("Check left something behind: %v", entries)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\ngot\n%s\nwant\n%s", name, got, want)
	}
}

func TestMemoryBytes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	meminfo := write("meminfo", "MemTotal:       16 kB\nMemFree: 8 kB\n")
	none := filepath.Join(dir, "none")
	tests := []struct {
		meminfo, limit string
		want           uint64
	}{
		{meminfo, none, 16 << 10},
		{meminfo, write("max", "max\n"), 16 << 10},
		{meminfo, write("low", "4096\n"), 4096},
		{meminfo, write("high", "40960000\n"), 16 << 10},
		{none, write("only", "4096\n"), 4096},
		{none, none, 0},
		{write("odd", "Total"), none, 0},
	}
	for _, test := range tests {
		if got := memoryBytes(test.meminfo, test.limit); got != test.want {
			t.Errorf("memoryBytes(%s, %s) = %d, want %d", filepath.Base(test.meminfo), filepath.Base(test.limit), got, test.want)
		}
	}
}
