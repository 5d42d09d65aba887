package storage

import (
	"context"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testOptions(t testing.TB) Options {
	return Options{Path: t.TempDir(), CreateIfMissing: true, MemtableSizeMB: 8, BlockCacheSizeMB: 8}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSmoke(t *testing.T) {
	s := open(t, testOptions(t))
	var b Batch
	b.PutEntity(1, 5, "alice", 7, []byte("record"))
	b.PutTerm(2, []byte{0x10}, 5)
	b.PutVector(3, 5, 7, []float32{1, 2})
	b.AddCounter("n", 2)
	var first Seq
	seq, err := s.Commit(&b, CommitOptions{OnCommit: func(f Seq) { first = f }})
	if err != nil || seq != 1 || first != 1 {
		t.Fatal(seq, first, err)
	}
	ids, found := make([]uint32, 2), make([]bool, 2)
	if err := s.Latest().LookupIDs(1, []string{"alice", "bob"}, ids, found); err != nil || ids[0] != 5 || !found[0] || found[1] {
		t.Fatal(ids, found, err)
	}
	if s.Counter("n") != 2 {
		t.Fatal("counter")
	}
	n := 0
	err = s.Latest().ScanTerms(context.Background(), 2, TermRange{}, func(term []byte, id uint32) (bool, error) {
		n++
		return true, nil
	})
	if n != 1 || err != nil {
		t.Fatal(n, err)
	}
}
