package checkpoint

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// FuzzDamage does things to the files of two epochs. Whatever is loaded then is what
// was saved, or is said to be lost.
func FuzzDamage(f *testing.F) {
	for _, seed := range [][]byte{{0, 1, 2, 3}, {9, 9, 9}, {200, 100, 50, 25, 12}, {3, 0, 0, 1, 0, 5, 0, 0, 0}, {1}, {2, 255, 255}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		damage(t, script)
	})
}

// TestDamage is FuzzDamage with scripts drawn at random.
func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		script := make([]byte, 1+rng.IntN(12))
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		damage(t, script)
	}
}

func damage(t *testing.T, script []byte) {
	path := t.TempDir()
	folder, m := mustOpen(t, path), newModel(t)
	states := map[uint64][][]byte{}
	for sequence := range uint64(3) {
		for i, a := range m.columns[:2] {
			a.resize(t, a.count()+9)
			a.set(int(sequence), byte(sequence)+1)
			a.set(5+i, byte(sequence)+100)
		}
		mustSave(t, folder, m.state(sequence))
		states[sequence] = m.bytes()
	}
	next := func() int {
		if len(script) == 0 {
			return 0
		}
		b := script[0]
		script = script[1:]
		return int(b)
	}
	for len(script) > 0 {
		damageFile(t, path, next)
	}
	again := mustOpen(t, path)
	for _, e := range slices.Backward(again.Epochs()) {
		got, lost := load(t, again, e)
		for i, c := range e.Columns {
			checkColumn(t, e, c, got[i], states[e.Sequence][i], lost)
		}
		if len(lost) == 0 {
			for i, a := range m.columns {
				a.data = got[i]
			}
		}
	}
	// It goes on from whatever there is.
	mustSave(t, again, m.state(9))
	if got, lost := load(t, again, again.Epochs()[0]); len(lost) == 0 && !slices.EqualFunc(got, m.bytes(), slices.Equal) {
		t.Fatal("what was saved on damaged files came back different")
	}
}

// checkColumn: what isn't lost is what was saved.
func checkColumn(t *testing.T, e *Manifest, c Layout, got, want []byte, lost []Lost) {
	t.Helper()
	for element := range c.Count {
		isLost := slices.ContainsFunc(lost, func(l Lost) bool {
			return l.Column == c.Name && l.First <= element && element < l.First+l.N
		})
		at := element * c.Stride
		if !isLost && !bytes.Equal(got[at:at+c.Stride], want[at:at+c.Stride]) {
			t.Fatalf("element %d of %s, epoch %d, is another and not lost", element, c.Name, e.Epoch)
		}
	}
}

// damageFile cuts, lengthens, changes, exchanges, copies or removes files.
func damageFile(t *testing.T, path string, next func() int) {
	files := names(t, path)
	if len(files) == 0 {
		return
	}
	name := filepath.Join(path, files[next()%len(files)])
	other := filepath.Join(path, files[next()%len(files)])
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	if len(b) > 0 {
		at = (next()<<8 | next()) % len(b)
	}
	switch next() % 6 {
	case 0:
		b = b[:at]
	case 1:
		b = append(b, make([]byte, at)...)
	case 2:
		if len(b) > 0 {
			b[at] ^= byte(1 + next())
		}
	case 3:
		c, err := os.ReadFile(other)
		if err == nil {
			err = os.WriteFile(other, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		b = c
	case 4:
		if b, err = os.ReadFile(other); err != nil {
			t.Fatal(err)
		}
	default:
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzManifest: no bytes make parsing fail other than by an error, and what is
// parsed is what it was parsed from.
func FuzzManifest(f *testing.F) {
	m := &Manifest{Epoch: 1, Sequence: 2, Until: 3, Owner: "me", Parameters: []byte("p"), Columns: []Layout{
		{Name: "a", Count: 5, Stride: 8, PerBlock: 4, blocks: []block{{1, 16, 5}, {1, 48, 6}}},
	}}
	f.Add(m.encode(), false)
	f.Add(m.encode()[:60], true)
	f.Add([]byte(manifestMagic), true)
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum { // else hardly anything gets past the checksum
			b = seal(b)
		}
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.encode(), b) {
			t.Errorf("%x comes back as %x", b, m.encode())
		}
		m.files()
	})
}

// seal gives bytes the magic, version, byte order and checksum of a manifest.
func seal(b []byte) []byte {
	head := (&Manifest{}).encode()[:16]
	b = append(slices.Clone(head), b[min(len(b), len(head)):]...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}
