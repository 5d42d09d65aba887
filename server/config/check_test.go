package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
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
	profiles, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	profilesPort := profiles.Addr().(*net.TCPAddr).Port
	free.Close()
	profiles.Close()

	cert, key := certificate(t, time.Date(2200, 1, 2, 3, 4, 5, 0, time.UTC))
	old, oldKey := certificate(t, time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC))
	worker := filepath.Join(t.TempDir(), "worker")
	if err := os.WriteFile(worker, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	machine := Machine{CPUs: 8, MemoryBytes: 4 << 30, Program: filepath.Join(dir, "themis_server"), Device: func(index int) (name, reason string) {
		if index > 0 {
			return "", "there is no device 1; the driver lists 0 (NVIDIA H100)"
		}
		return "NVIDIA H100", ""
	}}
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
		{"extras", []string{
			"storage.snapshot_dirs=" + dir + "/s1," + dir + "/s2", "storage.backup_dir=" + dir + "/b", "storage.enable_wal_archival=true",
			"storage.wal_archive_path=" + dir + "/w", overlayKey + "=" + dir + "/overlay.json", "logging.file=" + notFolder,
			"logging.audit_file=" + dir + "/audit/log", "server.enable_tls=true", "server.tls_cert=" + cert, "server.tls_key=" + key,
			"server.tls_ca=" + cert, fmt.Sprintf("server.pprof_port=%d", profilesPort)}, true},
		{"bad_extras", []string{
			"storage.snapshot_dirs=" + notFolder, "storage.backup_dir=" + notFolder + "/b", "storage.enable_wal_archival=true",
			"storage.wal_archive_path=" + notFolder, overlayKey + "=" + notFolder + "/x", "logging.file=" + dir,
			"logging.audit_file=" + notFolder + "/x/y", "server.enable_tls=true", "server.tls_cert=" + cert, "server.tls_key=" + oldKey,
			"server.tls_ca=" + notFolder, fmt.Sprintf("server.pprof_port=%d", takenPort)}, false},
		{"bad_tls", []string{"server.enable_tls=true", "server.tls_cert=" + old, "server.tls_key=" + oldKey, "server.tls_ca=" + dir + "/none"}, false},
		{"gpu", []string{"vector_index.use_gpu=true", "gpu.worker_path=" + worker}, true},
		{"bad_gpu", []string{"vector_index.use_gpu=true", "gpu.device=1"}, true},
		{"invalid", []string{"server.prot=1", "features.timeseries=true"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set := append([]string{"storage.rocksdb_path=" + data, fmt.Sprintf("server.port=%d", freePort)}, test.set...)
			var report strings.Builder
			if well := Check(&report, Source{Set: set}, machine); well != test.well {
				t.Errorf("Check = %t, want %t", well, test.well)
			}
			got := strings.NewReplacer(dir, "DIR", worker, "WORKER", cert, "CERT", old, "OLD", strconv.Itoa(profilesPort), "PORT", strconv.Itoa(takenPort), "PORT", strconv.Itoa(freePort), "PORT").Replace(report.String())
			golden(t, "testdata/validate_"+test.name+".txt", got)
		})
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("Check left something behind: %v", entries)
	}
}

// TestWorker holds where the program for the device is looked for, and what is
// said of a file that can't be it.
func TestWorker(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                "GPU worker not found: " + dir + "/bin/themis_gpu (no such file or directory)",
		plain:             "GPU worker not found: " + plain + " (nobody may execute it)",
		dir:               "GPU worker not found: " + dir + " (it is no file)",
		plain + "/within": "GPU worker not found: " + plain + "/within (not a directory)",
	} {
		f := (&GPU{WorkerPath: path}).checkWorker(Machine{Program: dir + "/bin/themis_server"})
		if f.line != want || f.mend == "" {
			t.Errorf("%+v, want %s", f, want)
		}
	}
	if f := (&GPU{}).checkDevice(Machine{}); !strings.Contains(f.line, "GPU 0 not usable: this machine has none") {
		t.Errorf("%+v", f)
	}
}

// certificate writes a self-signed pair.
func certificate(t *testing.T, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
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
