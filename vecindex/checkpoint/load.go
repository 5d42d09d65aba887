package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Lost is a part of a column that can't be read any more.
type Lost struct {
	Column   string
	First, N int // the elements
	Reason   string
}

func (l Lost) String() string {
	return fmt.Sprintf("elements %d to %d of %s: %s", l.First, l.First+l.N-1, l.Column, l.Reason)
}

// Load hands the blocks of an epoch to take, from several goroutines at a time, and
// returns which are lost. b is take's until it returns. If nothing is lost, the next
// Save builds on the epoch: the caller marks what it changes after take.
func (f *Folder) Load(ctx context.Context, m *Manifest, workers int, take func(column string, first, n int, b []byte) error) ([]Lost, error) {
	l := &loader{ctx: ctx, manifest: m, take: take, files: map[uint64]*os.File{}}
	for file := range m.files() {
		opened, err := os.Open(filepath.Join(f.path, blocksName(file)))
		if err == nil {
			l.files[file] = opened
			defer opened.Close()
		}
	}
	for i := range m.Columns {
		l.total += int64(len(m.Columns[i].blocks))
	}
	var running sync.WaitGroup
	for range max(1, workers) {
		running.Go(l.run)
	}
	running.Wait()
	if l.mu.failed != nil {
		return nil, l.mu.failed
	}
	if len(l.mu.lost) == 0 {
		f.base = m
	}
	return l.mu.lost, nil
}

// loader is one Load under way.
type loader struct {
	ctx      context.Context
	manifest *Manifest
	take     func(column string, first, n int, b []byte) error
	files    map[uint64]*os.File
	total    int64
	next     atomic.Int64 // the next block, counted over all columns
	mu       struct {
		sync.Mutex
		lost   []Lost
		failed error
	}
}

func (l *loader) run() {
	var buffer []byte
	for {
		at := l.next.Add(1) - 1
		if at >= l.total {
			return
		}
		column := 0
		for at >= int64(len(l.manifest.Columns[column].blocks)) {
			at -= int64(len(l.manifest.Columns[column].blocks))
			column++
		}
		if err := l.block(&l.manifest.Columns[column], int(at), &buffer); err != nil {
			l.mu.Lock()
			l.mu.failed = errors.Join(l.mu.failed, err)
			l.mu.Unlock()
			l.next.Store(l.total)
			return
		}
	}
}

// block reads and hands out one block.
func (l *loader) block(c *Layout, at int, buffer *[]byte) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	first, n := at*c.PerBlock, elements(c.Count, c.PerBlock, at)
	lose := func(reason string) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.mu.lost = append(l.mu.lost, Lost{Column: c.Name, First: first, N: n, Reason: reason})
		return nil
	}
	file := l.files[c.blocks[at].file]
	if file == nil {
		return lose(blocksName(c.blocks[at].file) + " can't be opened")
	}
	size := c.length(at)
	if cap(*buffer) < size {
		*buffer = make([]byte, size)
	}
	b := (*buffer)[:size]
	if _, err := file.ReadAt(b, int64(c.blocks[at].offset)); err != nil {
		return lose(fmt.Sprintf("%s can't be read: %v", filepath.Base(file.Name()), err))
	}
	if crc32.Checksum(b, castagnoli) != c.blocks[at].sum {
		return lose("the checksum in " + filepath.Base(file.Name()) + " is wrong")
	}
	return l.take(c.Name, first, n, b)
}
