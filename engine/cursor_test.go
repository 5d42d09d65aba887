package engine

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"testing"

	"github.com/vccdb/vccdb/engine/schema"
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage"
)

// TestForgedSearchCursor changes the figures inside a cursor that the database
// gave out. They come back from a client, so none may cost memory or panic.
func TestForgedSearchCursor(t *testing.T) {
	e, err := Open(t.Context(), Options{Storage: storage.Options{Path: t.TempDir(), CreateIfMissing: true}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	job, err := e.CreateIndex(t.Context(), schema.IndexDef{Table: "t", Columns: []string{"v"}, Type: schema.Vector})
	if err == nil {
		err = job.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // more than k*ef, so that the graph is walked
		op := Op{Kind: OpPut, Key: Key{"t", fmt.Sprint(i)}, Doc: fmt.Appendf(nil, `{"v":[%d,1]}`, i)}
		if _, err := e.Apply(t.Context(), []Op{op}, true); err != nil {
			t.Fatal(err)
		}
	}
	for _, exact := range []bool{false, true} {
		req := SearchRequest{Table: "t", Vectors: [][]float32{{0, 1}}, K: 3, Exact: exact}
		first, err := e.Search(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		s, err := e.newSearch(&req)
		if err != nil {
			t.Fatal(err)
		}
		given, err := parseCursor(first[0].NextCursor, s.fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		for _, seen := range []int{4, 1000, math.MaxUint32, 1<<58 - 3, math.MaxInt64 - 1, math.MaxInt64} {
			forged := given
			forged.Seen = seen
			req.Cursor = forged.encode(s.fingerprint)
			next, err := e.Search(t.Context(), req)
			if err != nil && errs.KindOf(err) != errs.Invalid {
				t.Errorf("seen %d: %v", seen, err)
			}
			if err == nil && len(next[0].Hits) != 3 {
				t.Errorf("seen %d: %d hits, want the next 3", seen, len(next[0].Hits))
			}
		}
	}
}

// TestCursorText holds that a cursor reads back, and that it says what
// encoding/json says, as the cursors do that clients have.
func TestCursorText(t *testing.T) {
	for _, c := range []cursor{
		{}, {ID: maxID}, {ID: 3, Key: []byte{0, 255, 'k'}}, {ID: 1, Distance: 0.1, Seen: 10}, {Distance: -2.5e-30, Seen: math.MaxInt64},
		{Distance: math.MaxFloat32}, {Distance: math.SmallestNonzeroFloat32, Key: []byte("key"), Seen: 1},
	} {
		c.Fingerprint = math.MaxUint64 - uint64(c.ID)
		text := c.encode(c.Fingerprint)
		back, err := parseCursor(text, c.Fingerprint)
		if err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("%+v reads back as %+v, %v", c, back, err)
		}
		var generic map[string]any
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil {
			err = json.Unmarshal(raw, &generic)
		}
		want, _ := json.Marshal(c)
		var wanted map[string]any
		if json.Unmarshal(want, &wanted) != nil || err != nil || !reflect.DeepEqual(generic, wanted) {
			t.Errorf("%s, want %s (%v)", raw, want, err)
		}
	}
}
