package checkpoint

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/vecindex/internal/offheap"
)

// array is a column of bytes with its marks.
type array struct {
	name             string
	stride, perBlock int
	data             []byte
	marks            *Marks
}

func (a *array) count() int { return len(a.data) / a.stride }

// resize makes the array n elements long, new ones being zero.
func (a *array) resize(t testing.TB, n int) {
	t.Helper()
	a.data = append(a.data, make([]byte, max(0, n*a.stride-len(a.data)))...)[:n*a.stride]
	if err := a.marks.Grow(n); err != nil {
		t.Fatal(err)
	}
}

func (a *array) set(element int, value byte) {
	for i := range a.stride {
		a.data[element*a.stride+i] = value + byte(i)
	}
	a.marks.Mark(uint32(element))
}

// model is a state in memory.
type model struct{ columns []*array }

func newModel(t testing.TB) *model {
	var g offheap.Group
	t.Cleanup(func() { g.Free() })
	m := &model{columns: []*array{
		{name: "wide", stride: 24, perBlock: 4},
		{name: "narrow", stride: 1, perBlock: 16},
		{name: "empty", stride: 8, perBlock: 2},
	}}
	for _, a := range m.columns {
		a.marks = NewMarks(&g, 1000, a.perBlock)
	}
	if err := g.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *model) state(sequence uint64) State {
	s := State{Sequence: sequence, Parameters: fmt.Append(nil, "parameters of ", sequence)}
	for _, a := range m.columns {
		s.Columns = append(s.Columns, Column{
			Name: a.name, Count: a.count(), Stride: a.stride, PerBlock: a.perBlock, Changed: a.marks.Take(),
			Copy: func(dst []byte, first, n int) {
				if len(dst) != n*a.stride {
					panic("dst has another size than the elements")
				}
				copy(dst, a.data[first*a.stride:])
			},
		})
	}
	return s
}

func (m *model) returnMarks(s State) {
	for i, a := range m.columns {
		a.marks.Return(s.Columns[i].Changed)
	}
}

func (m *model) bytes() [][]byte {
	var all [][]byte
	for _, a := range m.columns {
		all = append(all, slices.Clone(a.data))
	}
	return all
}

// load reads an epoch into arrays that are zero before.
func load(t testing.TB, f *Folder, e *Manifest) ([][]byte, []Lost) {
	t.Helper()
	var columns [][]byte
	for _, c := range e.Columns {
		columns = append(columns, make([]byte, c.Count*c.Stride))
	}
	var mu sync.Mutex
	lost, err := f.Load(context.Background(), e, 3, func(name string, first, n int, b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		i := slices.IndexFunc(e.Columns, func(c Layout) bool { return c.Name == name })
		if len(b) != n*e.Columns[i].Stride {
			return fmt.Errorf("%d elements of %s in %d bytes", n, name, len(b))
		}
		copy(columns[i][first*e.Columns[i].Stride:], b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return columns, lost
}

func mustOpen(t testing.TB, path string) *Folder {
	t.Helper()
	f, err := Open(path, "me")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustSave(t testing.TB, f *Folder, s State) Saved {
	t.Helper()
	saved, err := f.Save(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	if saved.Leftover != nil {
		t.Error(saved.Leftover)
	}
	return saved
}

func names(t testing.TB, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestGolden is the contract of FORMAT.md.
func TestGolden(t *testing.T) {
	path := t.TempDir()
	f := mustOpen(t, path)
	m := newModel(t)
	m.columns = m.columns[:2]
	m.columns[0].resize(t, 5)
	m.columns[1].resize(t, 3)
	m.columns[0].set(4, 'A')
	m.columns[1].set(2, 9)
	s := m.state(7)
	s.Finish = func() (uint64, error) { return 8, nil }
	mustSave(t, f, s)
	for name, want := range map[string]string{
		"MANIFEST-0000000000000001": strings.Join([]string{
			"5448454d4953434b", "01000000", "04030201", // THEMISCK, version, byte order
			"0100000000000000", "0700000000000000", "0800000000000000", // epoch, sequence, until
			"02000000" + "6d65",
			"0f000000" + "706172616d6574657273206f662037",
			"02000000",
			"04" + "77696465", "18000000", "04000000", "0500000000000000",
			"0100000000000000" + "1000000000000000" + "ab04f251",
			"0100000000000000" + "7000000000000000" + "b2a8434b",
			"06" + "6e6172726f77", "01000000", "10000000", "0300000000000000",
			"0100000000000000" + "8800000000000000" + "b678d618",
			"75fb6a0a",
		}, ""),
		"blocks-0000000000000001": "5448454d49534342" + "0100000000000000" + strings.Repeat("00", 96) +
			"4142434445464748494a4b4c4d4e4f505152535455565758" + "000009",
	} {
		b, err := os.ReadFile(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b); got != want {
			t.Errorf("%s is\n%s, not\n%s", name, got, want)
		}
	}
}

// TestModel saves states that change, opens the folder anew now and then, and
// expects the two newest back.
func TestModel(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 0))
		path := t.TempDir()
		f, m := mustOpen(t, path), newModel(t)
		var saved [][][]byte // newest first
		for sequence := uint64(1); sequence < 30; sequence++ {
			for _, a := range m.columns[:2] {
				a.resize(t, max(1, a.count()+rng.IntN(8)-1))
				for range rng.IntN(4) {
					a.set(rng.IntN(a.count()), byte(rng.Uint32()))
				}
			}
			s := m.state(sequence)
			if rng.IntN(4) == 0 { // one that fails
				s.Finish = func() (uint64, error) { return 0, errors.New("no") }
				if _, err := f.Save(context.Background(), s); err == nil {
					t.Fatal("a state that can't be finished was saved")
				}
				m.returnMarks(s)
				continue
			}
			mustSave(t, f, s)
			saved = append([][][]byte{m.bytes()}, saved[:min(1, len(saved))]...)
			if rng.IntN(3) == 0 {
				f = mustOpen(t, path)
			}
			if len(f.Findings()) > 0 {
				t.Fatal(f.Findings())
			}
			epochs := f.Epochs()
			if len(epochs) != len(saved) || epochs[0].Sequence != sequence {
				t.Fatalf("seed %d: %d epochs after %d were saved", seed, len(epochs), len(saved))
			}
			for i := range slices.Backward(epochs) { // the newest last: it is what the next builds on
				got, lost := load(t, f, epochs[i])
				if len(lost) > 0 {
					t.Fatal(lost)
				}
				if !slices.EqualFunc(got, saved[i], slices.Equal) {
					t.Fatalf("seed %d, sequence %d: epoch %d came back different", seed, sequence, epochs[i].Epoch)
				}
			}
		}
	}
}

// TestIncremental: what didn't change isn't written, and what nobody needs goes.
func TestIncremental(t *testing.T) {
	path := t.TempDir()
	f, m := mustOpen(t, path), newModel(t)
	a := m.columns[0]
	a.resize(t, 400)
	if saved := mustSave(t, f, m.state(1)); saved.Blocks != 100 || saved.Bytes != 9600 {
		t.Errorf("the first: %+v", saved)
	}
	if saved := mustSave(t, f, m.state(2)); saved.Blocks != 0 {
		t.Errorf("nothing changed: %+v", saved)
	}
	a.set(7, 1)
	if saved := mustSave(t, f, m.state(3)); saved.Blocks != 1 {
		t.Errorf("one changed: %+v", saved)
	}
	if got := names(t, path); len(got) != 4 { // two manifests, the blocks of 1 and 3
		t.Errorf("files: %v", got)
	}
	// More than half of the first file isn't needed any more: the rest moves.
	for i := range 200 {
		a.set(i, 2)
	}
	if saved := mustSave(t, f, m.state(4)); saved.Blocks != 50 {
		t.Errorf("half changed: %+v", saved)
	}
	a.set(200, 2)
	if saved := mustSave(t, f, m.state(5)); saved.Blocks != 1 {
		t.Errorf("after that: %+v", saved)
	}
	if saved := mustSave(t, f, m.state(6)); saved.Blocks != 49 {
		t.Errorf("the first file wasn't emptied: %+v", saved)
	}
	mustSave(t, f, m.state(7))
	if got := names(t, path); slices.Contains(got, blocksName(1)) {
		t.Errorf("files: %v", got)
	}
	got, lost := load(t, mustOpen(t, path), f.Epochs()[0])
	if len(lost) > 0 || !slices.Equal(got[0], a.data) {
		t.Error("it came back different")
	}
}

// TestManyFiles: the files of an epoch stay few.
func TestManyFiles(t *testing.T) {
	path := t.TempDir()
	f, m := mustOpen(t, path), newModel(t)
	a := m.columns[0]
	for i := range uint64(90) {
		a.resize(t, 4*int(i+1)) // a block that never changes again
		mustSave(t, f, m.state(i))
		if got := names(t, path); len(got) > filesMaximum+5 {
			t.Fatalf("%d files", len(got))
		}
	}
}

// TestForeign: epochs of another owner, and what is no epoch, are seen and left.
func TestForeign(t *testing.T) {
	path := t.TempDir()
	f, m := mustOpen(t, path), newModel(t)
	m.columns[0].resize(t, 9)
	mustSave(t, f, m.state(1))
	mustSave(t, f, m.state(2))
	for _, name := range []string{"MANIFEST-0000000000000009.tmp", "blocks-0000000000000008", "MANIFEST-000000000000000A", "vectors-1"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other, err := Open(path, "you")
	if err != nil {
		t.Fatal(err)
	}
	if len(other.Epochs()) != 0 || len(other.Findings()) != 2 {
		t.Errorf("another owner has %d epochs and finds %v", len(other.Epochs()), other.Findings())
	}
	saved := mustSave(t, other, m.state(3))
	if saved.Manifest.Epoch != 10 || saved.Blocks != 3 {
		t.Errorf("another owner saved %+v", saved)
	}
	want := []string{"MANIFEST-0000000000000" + "00a", "MANIFEST-000000000000000A", blocksName(10), "vectors-1"}
	want[0] = manifestName(10)
	slices.Sort(want)
	if got := names(t, path); !slices.Equal(got, want) {
		t.Errorf("files: %v, not %v", got, want)
	}
}

// TestForget: a forgotten epoch isn't offered again, and nothing builds on it.
func TestForget(t *testing.T) {
	path := t.TempDir()
	f, m := mustOpen(t, path), newModel(t)
	m.columns[0].resize(t, 9)
	mustSave(t, f, m.state(1))
	mustSave(t, f, m.state(2))
	for _, e := range f.Epochs() {
		if err := f.Forget(e); err != nil {
			t.Fatal(err)
		}
	}
	if epochs := mustOpen(t, path).Epochs(); len(epochs) != 0 {
		t.Errorf("%d epochs", len(epochs))
	}
	if saved := mustSave(t, f, m.state(3)); saved.Blocks != 3 {
		t.Errorf("saved %+v", saved)
	}
}

// TestFailures: a failing save and a load that is broken off say so and keep what
// there was.
func TestFailures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	f, m := mustOpen(t, path), newModel(t)
	m.columns[0].resize(t, 9)
	mustSave(t, f, m.state(1))
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	m.columns[0].set(1, 1)
	s := m.state(2)
	if _, err := f.Save(canceled, s); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	m.returnMarks(s)
	if _, err := f.Load(canceled, f.Epochs()[0], 1, func(string, int, int, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	mine := errors.New("mine")
	if _, err := f.Load(context.Background(), f.Epochs()[0], 1, func(string, int, int, []byte) error { return mine }); !errors.Is(err, mine) {
		t.Error(err)
	}
	if got := names(t, path); len(got) != 2 {
		t.Errorf("files: %v", got)
	}
	if saved := mustSave(t, f, m.state(3)); saved.Blocks != 1 {
		t.Errorf("saved %+v", saved)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	m.columns[0].set(1, 1)
	if _, err := f.Save(context.Background(), m.state(4)); errs.CodeOf(err) != "checkpoint_failed" {
		t.Error(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, "me"); errs.CodeOf(err) != "checkpoint_failed" {
		t.Error(err)
	}
}

func TestPerBlock(t *testing.T) {
	for stride, want := range map[int]int{1: 1 << 20, 512: 2048, 832: 1024, 1 << 20: 1, 1 << 21: 1} {
		if got := PerBlock(stride); got != want {
			t.Errorf("%d elements of %d bytes, not %d", got, stride, want)
		}
	}
}
