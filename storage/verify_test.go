package storage

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vccdb/vccdb/storage/rocks"
)

// filled is a closed database with table files and a log.
func filled(t *testing.T) string {
	t.Helper()
	o := testOptions(t)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for id := range uint32(300) {
		var b Batch
		b.PutEntity(1, id, strconv.Itoa(int(id)), 1, make([]byte, 200))
		commit(t, s, &b)
		if id == 150 {
			must(t, s.Flush())
		}
	}
	must(t, s.Close())
	return o.Path
}

func findings(t *testing.T, path string) []string {
	t.Helper()
	found, err := CheckFiles(path)
	must(t, err)
	return found
}

// names reports whether a finding begins with the file's name.
func names(findings []string, file string) bool {
	return slices.ContainsFunc(findings, func(f string) bool { return strings.HasPrefix(f, file+" ") })
}

// TestCheckFiles flips a bit of, cuts, and removes each kind of file, after a stop
// in good order and after a crash.
func TestCheckFiles(t *testing.T) {
	path := filled(t)
	if found := findings(t, path); len(found) > 0 {
		t.Fatal("a sound database:", found)
	}
	files, err := databaseFiles(path)
	must(t, err)
	for _, crashed := range []bool{false, true} {
		if crashed {
			must(t, os.Remove(filepath.Join(path, closedName)))
		}
		for _, info := range files {
			name := info.Name()
			table, log := filepath.Ext(name) == ".sst", filepath.Ext(name) == ".log"
			data, err := os.ReadFile(filepath.Join(path, name))
			must(t, err)
			write := func(data []byte) { must(t, os.WriteFile(filepath.Join(path, name), data, 0o600)) }
			if !table { // a table's blocks are RocksDB's to check
				for _, at := range []int{0, 4, 5, 6, len(data) / 3, len(data) / 2, len(data) - 1} {
					if crashed && (at == 4 || at == 5) && name != "CURRENT" {
						continue // a record that is too long looks like one that a crash cut
					}
					bad := slices.Clone(data)
					bad[at] ^= 0x10
					write(bad)
					if !names(findings(t, path), name) {
						t.Errorf("crashed %v: a flipped bit in byte %d of %s goes unnoticed: %v", crashed, at, name, findings(t, path))
					}
				}
			}
			if !crashed || name == "CURRENT" { // a crash may cut a log, and RocksDB knows its tables
				write(data[:len(data)-1])
				if !names(findings(t, path), name) {
					t.Errorf("%s is cut, and %v is found", name, findings(t, path))
				}
			}
			if !crashed || !table && !log {
				must(t, os.Remove(filepath.Join(path, name)))
				if !names(findings(t, path), name) {
					t.Errorf("%s is gone, and %v is found", name, findings(t, path))
				}
			}
			write(data)
		}
	}
	if found := findings(t, path); len(found) > 0 {
		t.Error("mended:", found)
	}
}

// TestCheckLogTail holds that what a crash may leave at the end isn't damage.
func TestCheckLogTail(t *testing.T) {
	path := filled(t)
	logs, _ := filepath.Glob(filepath.Join(path, "*.log"))
	data, err := os.ReadFile(logs[len(logs)-1])
	must(t, err)
	for cut := len(data) - 300; cut < len(data); cut++ {
		if _, bad, err := rocks.CheckLog(bytes.NewReader(data[:cut])); bad >= 0 || err != nil {
			t.Fatalf("cut at %d of %d: bad at %d", cut, len(data), bad)
		}
	}
	unused := append(slices.Clone(data), make([]byte, 4096)...)
	if cut, bad, err := rocks.CheckLog(bytes.NewReader(unused)); !cut || bad >= 0 || err != nil {
		t.Errorf("unused space at the end: %v, %d, %v", cut, bad, err)
	}
	between := append(unused, 1, 2, 3)
	if cut, bad, err := rocks.CheckLog(bytes.NewReader(between)); cut || bad != int64(len(data)) || err != nil {
		t.Errorf("unused space in the middle: %v, %d, %v", cut, bad, err)
	}
}

// TestClone opens a clone, changes it, and finds the first as it was.
func TestClone(t *testing.T) {
	path := filled(t)
	before := fileSums(t, path)
	clone, remove, err := Clone(path)
	must(t, err)
	s, err := Open(Options{Path: clone})
	must(t, err)
	for id := range uint32(50) {
		commit(t, s, oneEntity(1000+id))
	}
	must(t, s.Compact(t.Context()))
	must(t, s.Close())
	must(t, remove())
	if after := fileSums(t, path); !slices.Equal(after, before) {
		t.Errorf("the first was\n%v\nand is\n%v", before, after)
	}
	if left, _ := filepath.Glob(filepath.Join(path, clonePrefix+"*")); len(left) > 0 {
		t.Error("left over:", left)
	}
}

func fileSums(t *testing.T, path string) (sums []string) {
	entries, err := os.ReadDir(path)
	must(t, err)
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			sum, err := sumFile(filepath.Join(path, entry.Name()))
			must(t, err)
			sums = append(sums, entry.Name()+" "+strconv.Itoa(int(sum)))
		}
	}
	return sums
}
