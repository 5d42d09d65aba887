package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

func TestMain(m *testing.M) {
	runChild()
	goleak.VerifyTestMain(m)
}

func testOptions(t testing.TB) Options {
	return Options{Path: t.TempDir(), CreateIfMissing: true, MemtableSizeMB: 8, BlockCacheSizeMB: 8}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func commit(t testing.TB, s *Store, b *Batch) Seq {
	t.Helper()
	seq, err := s.Commit(b, CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// wantError checks kind and code of an error.
func wantError(t testing.TB, err error, kind errs.Kind, code string) {
	t.Helper()
	if err == nil || errs.KindOf(err) != kind || errs.CodeOf(err) != code {
		t.Errorf("the error is %v (%d, %s), want %d, %s", err, errs.KindOf(err), errs.CodeOf(err), kind, code)
	}
}

func TestOpenRefuses(t *testing.T) {
	write := func(t *testing.T, path string, families []rocks.Family, key, value string) {
		db, err := rocks.Open(rocks.Options{Path: path, CreateIfMissing: true, Families: families, MemtableBytes: 1 << 20, BlockCacheBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var b rocks.Batch
		b.Put(0, []byte(key), []byte(value))
		must(t, db.Write(&b, true))
	}
	newer := append([]rocks.Family{}, families...)
	newer = append(newer, rocks.Family{Name: "changefeed"})
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		kind    errs.Kind
		code    string
	}{
		{"nothing there", func(*testing.T, string) {}, errs.NotFound, "storage_not_found"},
		{"foreign rows", func(t *testing.T, path string) { write(t, path, families[:1], "k", "v") }, errs.Invalid, "foreign_data"},
		{"foreign family", func(t *testing.T, path string) { write(t, path, newer, "k", "v") }, errs.Invalid, "foreign_data"},
		{"foreign stamp", func(t *testing.T, path string) { write(t, path, families, metaFormat, "other") }, errs.Invalid, "foreign_data"},
		{"newer stamp", func(t *testing.T, path string) {
			write(t, path, families, metaFormat, string(formatStamp(FormatVersion+1)))
		}, errs.Invalid, "newer_format"},
		{"lost manifest", func(t *testing.T, path string) {
			write(t, path, families, "k", "v")
			must(t, os.WriteFile(filepath.Join(path, "CURRENT"), []byte("nonsense\n"), 0o600))
		}, errs.Corrupt, "storage_corrupt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			c.prepare(t, path)
			before := rowsOf(t, path)
			_, err := Open(Options{Path: path})
			wantError(t, err, c.kind, c.code)
			if after := rowsOf(t, path); !slices.Equal(before, after) {
				t.Errorf("a refused open changed the data from %q to %q", before, after)
			}
		})
	}
}

// rowsOf returns the rows of a database's default family, nil if it can't be
// opened.
func rowsOf(t *testing.T, path string) (rows []string) {
	names, err := rocks.FamilyNames(path)
	if err != nil {
		return nil
	}
	o := rocks.Options{Path: path, MemtableBytes: 1 << 20, BlockCacheBytes: 1 << 20}
	for _, name := range names {
		o.Families = append(o.Families, rocks.Family{Name: name})
	}
	db, err := rocks.Open(o)
	if err != nil {
		return nil
	}
	defer db.Close()
	must(t, db.Latest().Scan(0, rocks.Range{}, func(key, value []byte) (bool, error) {
		rows = append(rows, fmt.Sprintf("%s=%s", key, value))
		return true, nil
	}))
	return rows
}

func TestOpenTwice(t *testing.T) {
	o := testOptions(t)
	open(t, o)
	_, err := Open(o)
	wantError(t, err, errs.Conflict, "storage_locked")
}

// TestOpenAfterInterruptedCreate: a database without a stamp and without rows is
// what a crash while creating leaves.
func TestOpenAfterInterruptedCreate(t *testing.T) {
	o := testOptions(t)
	db, err := rocks.Open(rocks.Options{Path: o.Path, CreateIfMissing: true, Families: families[:2], MemtableBytes: 1 << 20, BlockCacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	open(t, o)
}

// TestFormatBytes holds the rows of a small store against the bytes that
// FORMAT.md draws. A change here is a format change.
func TestFormatBytes(t *testing.T) {
	o := testOptions(t)
	o.Feed = true
	s := open(t, o)
	var b Batch
	b.PutEntity(1, 0x0203, "alice", 0x0405, []byte("{}"))
	b.PutTerm(6, []byte{0x10}, 7)
	b.PutVector(8, 9, 0x0a0b, []float32{1, -2})
	b.PutMeta("name", []byte("value"))
	b.AddCounter("n", -2)
	b.DeleteEntity(1, 0x0203, "bob", 5, []byte("last"))
	b.DropTable(9, 6, "name")
	b.PutEntity(1, 0x0203, "alice", 0x0405, []byte("{}"))
	for id := range uint32(20_000) { // until one is sampled on both levels
		b.PutTerm(0x0c, []byte{0x10}, id)
	}
	commit(t, s, &b)
	must(t, s.TrimOplog(1))
	must(t, s.TrimFeed(1))
	rows := s.db.LatestSequence()
	timeline, err := s.Timeline()
	must(t, err)
	if s.db.LatestSequence() != rows {
		t.Error("asking a new database for its timeline wrote it")
	}
	want := map[int][]string{
		familyDefault: {
			"6361742f6e616d65=76616c7565",                         // cat/name
			"636e742f6e=feffffffffffffff",                         // cnt/n
			"7379732f66656564=0101000000000000000000000000000000", // sys/feed
			"7379732f666f726d6174=7468656d697302000000",           // sys/format
			"7379732f736571=0400000000000000",                     // sys/seq
			"7379732f74696d656c696e65=" + timeline.String(),       // sys/timeline
			"7379732f7472696d6d6564=0100000000000000",             // sys/trimmed
		},
		familyEntities: {"0000000100000203=7b7d"},
		familyPKs:      {"00000001616c696365=00000203"},
		familyVectors:  {"0000000800000009=0b0a0000000000000000803f000000c0"},
		familyOplog: {
			"0000000000000002=0201000000030200000500000000000000626f62",
			"0000000000000003=0309000000000000000600000000000000",
			"0000000000000004=0101000000030200000504000000000000616c696365",
		},
		familyFeed: {
			"0000000000000002=02010000000302000005000000000000006c617374",
			"0000000000000003=03090000000000000006000000000000006e616d65",
			"0000000000000004=01010000000302000005040000000000007b7d",
		},
	}
	for family, rows := range want {
		if got := dump(t, s, family); !slices.Equal(got, rows) {
			t.Errorf("%s holds\n%s\nwant\n%s", families[family].Name, strings.Join(got, "\n"), strings.Join(rows, "\n"))
		}
	}
	if got := dump(t, s, familyTerms)[0]; got != "000000061000000007=" {
		t.Errorf("the first entry is %s", got)
	}
	samples := dump(t, s, familySamples)
	if first, last := samples[0], samples[len(samples)-1]; first != "0000000c011000000012=" || last != "0000000c021000003e28=" {
		t.Errorf("the samples reach from %s to %s", first, last)
	}
}

func dump(t *testing.T, s *Store, family int) (rows []string) {
	t.Helper()
	must(t, s.db.Latest().Scan(family, rocks.Range{}, func(key, value []byte) (bool, error) {
		rows = append(rows, fmt.Sprintf("%x=%x", key, value))
		return true, nil
	}))
	return rows
}

// TestOptionsReachRocksDB reads the settings back from the OPTIONS file that
// RocksDB writes.
func TestOptionsReachRocksDB(t *testing.T) {
	o := Options{
		Path: t.TempDir(), CreateIfMissing: true,
		MemtableSizeMB: 32, BlockCacheSizeMB: 16, MaxOpenFiles: 123,
		Compression: "snappy", BottommostCompression: "zlib", BloomBitsPerKey: 12,
		MaxWriteBufferNumber: 5, MinWriteBufferNumberToMerge: 2, Level0FileNumCompactionTrigger: 7,
		Level0SlowdownWritesTrigger: 21, Level0StopWritesTrigger: 37, MaxBackgroundCompactions: 3,
	}
	s := open(t, o)
	database, entities := optionsFile(t, o.Path)
	for _, want := range []string{
		"db_write_buffer_size=33554432", "max_total_wal_size=33554432", "max_open_files=123", "max_background_compactions=3",
	} {
		if !strings.Contains(database, want+"\n") {
			t.Errorf("the database lacks %s", want)
		}
	}
	for _, want := range []string{
		"write_buffer_size=8388608", "compression=kSnappyCompression", "bottommost_compression=kZlibCompression",
		"max_write_buffer_number=5", "min_write_buffer_number_to_merge=2", "level0_file_num_compaction_trigger=7",
		"level0_slowdown_writes_trigger=21", "level0_stop_writes_trigger=37", "level_compaction_dynamic_level_bytes=true",
		"filter_policy=bloomfilter", "cache_index_and_filter_blocks=true",
	} {
		if !strings.Contains(entities, want+"\n") {
			t.Errorf("the entities family lacks %s", want)
		}
	}
	p, err := s.Properties()
	if err != nil || p.BlockCacheCapacityBytes != 16<<20 {
		t.Errorf("the block cache has %d bytes, %v", p.BlockCacheCapacityBytes, err)
	}
}

func TestFiltersAndStatisticsOff(t *testing.T) {
	o := testOptions(t)
	o.DisableBloomFilters, o.DisableStatistics = true, true
	s := open(t, o)
	if _, entities := optionsFile(t, o.Path); !strings.Contains(entities, "filter_policy=nullptr\n") {
		t.Error("there is a bloom filter")
	}
	if n := len(s.db.Tickers()); n != 0 {
		t.Errorf("there are %d tickers", n)
	}
}

// optionsFile returns the newest OPTIONS file: the part on the database and the
// one on the entities family.
func optionsFile(t *testing.T, path string) (database, entities string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "OPTIONS-*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no OPTIONS file", err)
	}
	text, err := os.ReadFile(slices.Max(files))
	must(t, err)
	text = regexp.MustCompile(`(?m)^\s+`).ReplaceAll(text, nil)
	database, _, _ = strings.Cut(string(text), `[CFOptions "`)
	_, entities, ok := strings.Cut(string(text), `[CFOptions "entities"]`)
	if !ok {
		t.Fatal("the OPTIONS file lacks the entities family")
	}
	entities, _, _ = strings.Cut(entities, "[CFOptions")
	return database, entities
}

func TestValidate(t *testing.T) {
	valid := Options{Path: "x"}
	valid.EnsureDefaults()
	must(t, valid.Validate())
	for name, spoil := range map[string]func(o *Options){
		"path":                    func(o *Options) { o.Path = "" },
		"memtable_size_mb":        func(o *Options) { o.MemtableSizeMB = -1 },
		"block_cache_size_mb":     func(o *Options) { o.BlockCacheSizeMB = 1 << 30 },
		"max_open_files":          func(o *Options) { o.MaxOpenFiles = -2 },
		"compression":             func(o *Options) { o.Compression = "brotli" },
		"bottommost":              func(o *Options) { o.BottommostCompression = "LZ4" },
		"bloom_bits_per_key":      func(o *Options) { o.BloomBitsPerKey = 1000 },
		"durability":              func(o *Options) { o.Durability = "maybe" },
		"interval":                func(o *Options) { o.SyncInterval = -time.Second },
		"wal_archive_path":        func(o *Options) { o.WALArchivePath = "x/archive" },
		"level0":                  func(o *Options) { o.Level0SlowdownWritesTrigger = 3 },
		"level0 stop":             func(o *Options) { o.Level0StopWritesTrigger = 10 },
		"max_write_buffer_number": func(o *Options) { o.MinWriteBufferNumberToMerge = 3 },
		"max_background":          func(o *Options) { o.MaxBackgroundCompactions = 1000 },
	} {
		o := valid
		spoil(&o)
		err := o.Validate()
		wantError(t, err, errs.Invalid, "invalid_storage_option")
		if word, _, _ := strings.Cut(name, " "); err != nil && !strings.Contains(err.Error(), word) {
			t.Errorf("the error on %s doesn't name it: %v", name, err)
		}
	}
	one := Options{Path: "x", Compression: "none"}
	one.EnsureDefaults()
	if one.BottommostCompression != "none" {
		t.Error("a single compression does not count for the last level")
	}
}

// TestClosedStore: everything fails cleanly on a closed store.
func TestClosedStore(t *testing.T) {
	s, err := Open(testOptions(t))
	must(t, err)
	snap := s.NewSnapshot()
	must(t, s.Close())
	must(t, s.Close())
	ctx := context.Background()
	_, commitErr := s.Commit(&Batch{}, CommitOptions{})
	_, propertiesErr := s.Properties()
	_, sizeErr := s.ApproximateBytes(SizeOfTable, 1)
	_, seqErr := s.Latest().Seq()
	_, _, countErr := snap.CountTerms(ctx, 1, TermRange{}, 1)
	for name, err := range map[string]error{
		"Commit": commitErr, "Properties": propertiesErr, "ApproximateBytes": sizeErr, "Seq": seqErr, "CountTerms": countErr,
		"Flush": s.Flush(), "Compact": s.Compact(ctx), "VerifyChecksums": s.VerifyChecksums(), "TrimOplog": s.TrimOplog(1),
		"ReadOplog": s.ReadOplog(ctx, 0, nil), "ScanMeta": s.ScanMeta("", nil),
		"ScanTerms": s.Latest().ScanTerms(ctx, 1, TermRange{}, nil), "snapshot": snap.ScanEntities(ctx, 1, 0, nil),
		"new snapshot": s.NewSnapshot().Entities(1, []uint32{1}, nil),
	} {
		if err == nil && name == "TrimOplog" {
			continue // there was nothing to trim
		}
		t.Run(name, func(t *testing.T) { wantError(t, err, errs.Unavailable, "storage_closed") })
	}
	snap.Release()
}

func TestScansStop(t *testing.T) {
	s := open(t, testOptions(t))
	var b Batch
	for id := range uint32(1000) {
		b.PutEntity(1, id, fmt.Sprint(id), 1, []byte("{}"))
		b.PutTerm(1, []byte{0x10}, id)
	}
	commit(t, s, &b)
	stop := errors.New("stop")
	n := 0
	err := s.Latest().ScanTerms(t.Context(), 1, TermRange{}, func([]byte, uint32) (bool, error) {
		if n++; n == 100 {
			return true, stop
		}
		return true, nil
	})
	if n != 100 || err != stop {
		t.Error(n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n = 0
	err = s.Latest().ScanEntities(ctx, 1, 0, func(uint32, []byte) (bool, error) {
		if n++; n == 100 {
			cancel()
		}
		return true, nil
	})
	if !errors.Is(err, context.Canceled) || n > 100+cancelEvery {
		t.Error(n, err)
	}
	if _, _, err := s.Latest().CountTerms(ctx, 1, TermRange{}, 10); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestVerifyChecksums flips a byte in the middle of each table file in turn.
func TestVerifyChecksums(t *testing.T) {
	o := testOptions(t)
	o.Compression = "none"
	s := open(t, o)
	var b Batch
	for id := range uint32(2000) {
		b.PutEntity(1, id, fmt.Sprint(id), 1, bytes.Repeat([]byte{byte(id)}, 50))
	}
	commit(t, s, &b)
	must(t, s.VerifyChecksums()) // in the memtable
	must(t, s.Flush())
	must(t, s.VerifyChecksums())
	files, err := filepath.Glob(filepath.Join(o.Path, "*.sst"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		bad := bytes.Clone(data)
		bad[len(bad)/3] ^= 0x40
		must(t, os.WriteFile(file, bad, 0o600))
		wantError(t, s.VerifyChecksums(), errs.Corrupt, "storage_corrupt")
		must(t, os.WriteFile(file, data, 0o600))
	}
	must(t, s.VerifyChecksums())
}

func TestCompact(t *testing.T) {
	s := open(t, testOptions(t))
	var b Batch
	for id := range uint32(20_000) {
		b.PutEntity(1, id, fmt.Sprint(id), 1, bytes.Repeat([]byte{byte(id)}, 50))
	}
	commit(t, s, &b)
	must(t, s.Flush())
	b.Reset()
	b.DropTable(1, 1, "one")
	commit(t, s, &b)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Compact(canceled); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	before, err := s.Properties()
	must(t, err)
	must(t, s.Compact(t.Context()))
	after, err := s.Properties()
	must(t, err)
	if after.TotalSSTFilesSizeBytes > before.TotalSSTFilesSizeBytes/2 {
		t.Errorf("a dropped table still takes %d of %d bytes", after.TotalSSTFilesSizeBytes, before.TotalSSTFilesSizeBytes)
	}
}

func TestProperties(t *testing.T) {
	o := testOptions(t)
	s := open(t, o)
	var b Batch
	for id := range uint32(1000) {
		b.PutEntity(1, id, fmt.Sprint(id), 1, make([]byte, 100))
	}
	commit(t, s, &b)
	p, err := s.Properties()
	must(t, err)
	if p.EstimateNumKeys < 3000 || p.CurSizeAllMemTablesBytes < 100_000 || p.MemtableSizeBytes < p.CurSizeAllMemTablesBytes || p.LastSequence != 1000 {
		t.Errorf("%+v", p)
	}
	must(t, s.Flush())
	for range 3 {
		must(t, s.Latest().Entities(1, []uint32{1, 2, 3}, func(int, []byte) error { return nil }))
	}
	snap := s.NewSnapshot()
	defer snap.Release()
	p, err = s.Properties()
	must(t, err)
	files := uint64(0)
	for _, n := range p.FilesPerLevel {
		files += n
	}
	if files < 3 || p.TotalSSTFilesSizeBytes == 0 || p.BlockCacheHit == 0 || p.BlockCacheMiss == 0 || p.NumSnapshots != 1 ||
		p.CacheHitRatePercent <= 0 || p.CacheHitRatePercent >= 100 || p.BlockCacheUsageBytes == 0 || p.EstimateNumKeys < 3000 {
		t.Errorf("%+v", p)
	}
}

// TestApproximateBytes: two tables of different size, in memtables and in files.
func TestApproximateBytes(t *testing.T) {
	o := testOptions(t)
	o.Compression = "none"
	s := open(t, o)
	var b Batch
	for id := range uint32(4000) {
		b.PutEntity(1+id%4/3, id, fmt.Sprint(id), 1, make([]byte, 400)) // three quarters in table 1
		b.PutVector(7, id, 1, make([]float32, 50))
	}
	commit(t, s, &b)
	check := func(state string) {
		t.Helper()
		for _, c := range []struct {
			what SizeOf
			id   uint32
			want float64
		}{{SizeOfTable, 1, 3000 * 430}, {SizeOfTable, 2, 1000 * 430}, {SizeOfIndex, 7, 4000 * 216}, {SizeOfTable, 3, 0}, {SizeOfIndex, 1, 0}} {
			got, err := s.ApproximateBytes(c.what, c.id)
			if err != nil || len(got) != 1 || float64(got[0]) < 0.7*c.want || float64(got[0]) > 1.5*c.want {
				t.Errorf("%s: %d of kind %d takes %d bytes, %v; want about %.0f", state, c.id, c.what, got, err, c.want)
			}
		}
	}
	check("memtables")
	must(t, s.Flush())
	check("files")
	one, err := s.ApproximateBytes(SizeOfTable, 2)
	must(t, err)
	many, err := s.ApproximateBytes(SizeOfTable, 3, 2, 1)
	must(t, err)
	if len(many) != 3 || many[0] != 0 || many[1] != one[0] || many[2] <= many[1] {
		t.Errorf("table 2 takes %d bytes, and among others %d", one, many)
	}
}

func TestRecentWritesAge(t *testing.T) {
	var w recentWrites
	w.add([]tally{{family: 1, scope: 1, bytes: recentBytes}})
	for range 12 {
		w.add([]tally{{family: 1, scope: 2, bytes: recentBytes / 2}})
	}
	if got := w.shares(1, []uint32{1, 2, 3}); got[0] > 0.02 || got[1] < 0.98 || got[2] != 0 || w.shares(2, []uint32{1})[0] != 0 {
		t.Error(got)
	}
}

func TestOplogTrim(t *testing.T) {
	s := open(t, testOptions(t))
	var b Batch
	for id := range uint32(10) {
		b.PutEntity(1, id, fmt.Sprint(id), 1, nil)
	}
	commit(t, s, &b)
	must(t, s.TrimOplog(4))
	must(t, s.TrimOplog(2)) // no way back
	wantError(t, s.ReadOplog(t.Context(), 3, nil), errs.NotFound, "oplog_trimmed")
	var seqs []Seq
	must(t, s.ReadOplog(t.Context(), 4, func(seq Seq, op Op) (bool, error) {
		seqs = append(seqs, seq)
		return seq < 7, nil
	}))
	if !slices.Equal(seqs, []Seq{5, 6, 7}) {
		t.Error(seqs)
	}
	must(t, s.TrimOplog(100))
	must(t, s.ReadOplog(t.Context(), 10, func(Seq, Op) (bool, error) { t.Error("a trimmed record"); return true, nil }))
	if seq := commit(t, s, &b); seq != 20 {
		t.Error("after a trim the next sequence is", seq)
	}
}

func FuzzParseOp(f *testing.F) {
	f.Add(Op{OpPut, 1, 2, "pk", 3}.append(nil))
	f.Add(Op{Kind: OpDropTable, Table: 9}.append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := parseOp(b)
		if err != nil {
			t.Skip()
		}
		if again := op.append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is read as %+v and written as %x", b, op, again)
		}
	})
}
