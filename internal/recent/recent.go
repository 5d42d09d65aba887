// Package recent keeps the newest of a stream of items in memory, for people who
// want to look at them: a log, an audit trail, slow queries.
//
// A List is bounded in number and in bytes. Adding never waits for a reader, and
// readers keep their place by sequence: one that is too slow is told how many
// items it has missed. There are no goroutines; the one lock is held for a copy
// of pointers at most, never while a reader looks at items.
package recent

import (
	"context"
	"slices"
	"sync"
)

// Item is one item with its place in the stream, counted from 1.
type Item[T any] struct {
	Seq   uint64
	Value T
	size  int
}

// List is the newest items. Make one with New; all methods are safe for
// concurrent use. Values are shared between readers and must not be changed.
type List[T any] struct {
	most, mostBytes int

	mu struct {
		sync.Mutex
		items []Item[T]
		bytes int
		last  uint64
		// moved is closed at the next Add; nil while nobody waits.
		moved chan struct{}
	}
}

// New returns a list of at most so many items and bytes; the newest item is kept
// even if it alone is bigger.
func New[T any](most, mostBytes int) *List[T] {
	return &List[T]{most: most, mostBytes: mostBytes}
}

// Add appends an item of about size bytes.
func (l *List[T]) Add(value T, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.last++
	l.mu.items = append(l.mu.items, Item[T]{l.mu.last, value, size})
	l.mu.bytes += size
	for n := len(l.mu.items); n > 1 && (n > l.most || l.mu.bytes > l.mostBytes); n-- {
		l.mu.bytes -= l.mu.items[0].size
		l.mu.items[0] = Item[T]{}
		l.mu.items = l.mu.items[1:]
	}
	if l.mu.moved != nil {
		close(l.mu.moved)
		l.mu.moved = nil
	}
}

// Clear forgets all items. Sequences go on.
func (l *List[T]) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.items, l.mu.bytes = nil, 0
}

// Last is the sequence of the newest item ever added, 0 before the first.
func (l *List[T]) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.last
}

// after copies the items behind a sequence; missed are those that aren't kept.
func (l *List[T]) after(seq uint64) (items []Item[T], last, missed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last = l.mu.last
	if seq >= last {
		return nil, last, 0
	}
	first := last + 1 - uint64(len(l.mu.items))
	if seq+1 < first {
		missed, seq = first-seq-1, first-1
	}
	return slices.Clone(l.mu.items[seq+1-first:]), last, missed
}

// Page is what a reader gets.
type Page[T any] struct {
	Items []Item[T]
	// Next is where to read on: the last sequence looked at, kept or not.
	Next uint64
	// Missed items were gone before the reader came to them.
	Missed uint64
}

// After returns the items behind a sequence that keep (nil: all) lets pass,
// oldest first and at most n.
func (l *List[T]) After(seq uint64, n int, keep func(T) bool) Page[T] {
	items, last, missed := l.after(seq)
	page := Page[T]{Next: last, Missed: missed}
	for _, item := range items {
		if keep != nil && !keep(item.Value) {
			continue
		}
		if len(page.Items) == n {
			page.Next = page.Items[n-1].Seq
			break
		}
		page.Items = append(page.Items, item)
	}
	return page
}

// Before returns the items ahead of a sequence (0: of the end) that keep (nil:
// all) lets pass, newest first and at most n. more says that there are others.
func (l *List[T]) Before(seq uint64, n int, keep func(T) bool) (found []Item[T], more bool) {
	items, _, _ := l.after(0)
	for _, item := range slices.Backward(items) {
		if seq != 0 && item.Seq >= seq || keep != nil && !keep(item.Value) {
			continue
		}
		if len(found) == n {
			return found, true
		}
		found = append(found, item)
	}
	return found, false
}

// Get returns one item, if it is still there.
func (l *List[T]) Get(seq uint64) (value T, ok bool) {
	items, _, missed := l.after(max(seq, 1) - 1)
	if seq == 0 || missed > 0 || len(items) == 0 {
		return value, false
	}
	return items[0].Value, true
}

// Wait returns when there is an item behind the sequence, or with ctx's error.
func (l *List[T]) Wait(ctx context.Context, seq uint64) error {
	l.mu.Lock()
	if l.mu.last > seq {
		l.mu.Unlock()
		return nil
	}
	if l.mu.moved == nil {
		l.mu.moved = make(chan struct{})
	}
	moved := l.mu.moved
	l.mu.Unlock()
	select {
	case <-moved:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
