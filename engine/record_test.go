package engine

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

func TestRecordBytes(t *testing.T) {
	r := record{stamp: 0x0102030405060708, version: 300, pk: []byte("käse"), doc: []byte(`{"a":1}`)}
	const want = "01" + "0807060504030201" + "ac02" + "05" + "6bc3a47365" + "7b2261223a317d"
	if have := hex.EncodeToString(r.encode()); have != want {
		t.Errorf("encoded %s, want %s", have, want)
	}
	raw, _ := hex.DecodeString(want)
	have, err := decodeRecord(raw)
	if err != nil || have.stamp != r.stamp || have.version != r.version || !bytes.Equal(have.pk, r.pk) || !bytes.Equal(have.doc, r.doc) {
		t.Errorf("decoded %+v, %v", have, err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(record{stamp: 1, version: 1, pk: []byte("k"), doc: []byte("{}")}.encode())
	f.Add([]byte{1})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := decodeRecord(raw)
		if err != nil {
			if errs.KindOf(err) != errs.Corrupt {
				t.Errorf("kind of %v", err)
			}
			return
		}
		again, err := decodeRecord(r.encode())
		if err != nil || again.version != r.version || !bytes.Equal(again.pk, r.pk) || !bytes.Equal(again.doc, r.doc) {
			t.Errorf("%+v comes back as %+v, %v", r, again, err)
		}
	})
}

func TestCatalogRecords(t *testing.T) {
	e, err := Open(t.Context(), Options{Storage: storage.Options{Path: t.TempDir(), CreateIfMissing: true}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	job, err := e.CreateIndex(t.Context(), schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector, Vector: &schema.VectorConfig{Dimension: 3}})
	if err == nil {
		err = job.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"index/2": `{"id":2,"table":"t","columns":["v"],"type":"vector","vector":{"dimension":3,"metric":"cosine","m":16,"ef_construction":200,"quantization":"int8","engine":"auto"},"state":"ready"}`,
		"next_id": "\x00\x00\x00\x02",
		"table/t": `{"id":1}`,
	}
	have := map[string]string{}
	if err := e.store.ScanMeta("", func(key string, value []byte) error {
		have[key] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if a, b := mustJSON(have), mustJSON(want); a != b {
		t.Errorf("the catalog is %s, want %s", a, b)
	}
}

func mustJSON(v map[string]string) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}
