package recent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func values[T any](items []Item[T]) []T {
	var out []T
	for _, item := range items {
		out = append(out, item.Value)
	}
	return out
}

func expect[T comparable](t *testing.T, what string, items []Item[T], want ...T) {
	t.Helper()
	if got := values(items); !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestBounds(t *testing.T) {
	l := New[int](3, 100)
	for i := 1; i <= 5; i++ {
		l.Add(i, 10)
	}
	found, _ := l.Before(0, 10, nil)
	expect(t, "the newest three", found, 5, 4, 3)
	l.Add(6, 95)
	found, _ = l.Before(0, 10, nil)
	expect(t, "what fits into 100 bytes", found, 6)
	l.Add(7, 1000)
	found, _ = l.Before(0, 10, nil)
	expect(t, "one that is too big by itself", found, 7)
	if v, ok := l.Get(7); !ok || v != 7 {
		t.Errorf("Get(7): %v %v", v, ok)
	}
	for _, seq := range []uint64{0, 6, 8} {
		if v, ok := l.Get(seq); ok {
			t.Errorf("Get(%d): %v", seq, v)
		}
	}
	l.Clear()
	l.Add(8, 1)
	if page := l.After(0, 10, nil); page.Next != 8 || page.Missed != 7 {
		t.Errorf("after Clear: %+v", page)
	}
}

func TestPages(t *testing.T) {
	l := New[int](10, 1000)
	for i := 1; i <= 12; i++ {
		l.Add(i, 1)
	}
	even := func(i int) bool { return i%2 == 0 }
	page := l.After(0, 3, even)
	expect(t, "the first page", page.Items, 4, 6, 8)
	if page.Next != 8 || page.Missed != 2 {
		t.Errorf("read on at %d, missed %d", page.Next, page.Missed)
	}
	page = l.After(page.Next, 3, even)
	expect(t, "the second page", page.Items, 10, 12)
	if page.Next != 12 || page.Missed != 0 {
		t.Errorf("read on at %d, missed %d", page.Next, page.Missed)
	}
	if page = l.After(12, 3, even); page.Items != nil || page.Next != 12 {
		t.Errorf("at the end: %+v", page)
	}
	found, more := l.Before(0, 3, even)
	expect(t, "the newest", found, 12, 10, 8)
	if !more {
		t.Error("4 and 6 are missing")
	}
	found, more = l.Before(found[2].Seq, 3, even)
	expect(t, "those before", found, 6, 4)
	if more {
		t.Error("there are no more")
	}
}

func TestWait(t *testing.T) {
	l := New[int](10, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing came: %v", err)
	}
	l.Add(1, 1)
	if err := l.Wait(ctx, 0); err != nil {
		t.Errorf("there is one already: %v", err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := l.Wait(t.Context(), 1); err != nil {
				t.Error(err)
			}
		})
	}
	l.Add(2, 1)
	wg.Wait()
}

// TestReadersAndWriters: whoever reads along gets each item once, in order, or
// is told of it as missed.
func TestReadersAndWriters(t *testing.T) {
	const writers, each = 4, 2000
	l := New[string](64, 1<<20)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				l.Add(fmt.Sprint(w, i), 8)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			var at, seen uint64
			for at < writers*each {
				if err := l.Wait(t.Context(), at); err != nil {
					t.Error(err)
					return
				}
				page := l.After(at, 16, nil)
				seen += page.Missed
				for i, item := range page.Items {
					if item.Seq != at+page.Missed+uint64(i)+1 {
						t.Errorf("item %d after %d", item.Seq, at)
						return
					}
				}
				seen += uint64(len(page.Items))
				at = page.Next
			}
			if seen != writers*each {
				t.Errorf("%d of %d items accounted for", seen, writers*each)
			}
		})
	}
	wg.Wait()
}
