package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/vccdb/vccdb/internal/errs"
)

// rejects lists the rows that can't be taken over, as they are found. The file
// is made with the first of them.
type rejects struct {
	path   string
	file   *os.File
	count  uint64
	byCode map[string]uint64
}

// reject is one line of the file.
type reject struct {
	// Key is the row's key, if it is UTF-8; KeyBytes is it in base64 if it isn't.
	Key      string `json:"key,omitempty"`
	KeyBytes []byte `json:"key_bytes,omitempty"`
	Code     string `json:"code"`
	Detail   string `json:"detail"`
}

func (r *rejects) add(key string, why error) (err error) {
	if r.file == nil {
		if r.file, err = os.OpenFile(r.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640); err != nil {
			return err
		}
		r.byCode = map[string]uint64{}
	}
	line := reject{Key: key, Code: errs.CodeOf(why), Detail: why.Error()}
	if !utf8.ValidString(key) {
		line.Key, line.KeyBytes = "", []byte(key)
	}
	r.count++
	r.byCode[line.Code]++
	return json.NewEncoder(r.file).Encode(line)
}

// summary counts the rejected rows by the reason.
func (r *rejects) summary() string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(r.byCode)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.byCode[code], code))
	}
	return fmt.Sprintf("%d rows (%s)", r.count, strings.Join(parts, ", "))
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Sync()
	if errors.Is(err, syscall.EINVAL) { // a pipe
		err = nil
	}
	return errors.Join(err, r.file.Close())
}

// progressEvery is the time between two lines.
const progressEvery = 2 * time.Second

// progress prints how far the work has come.
type progress struct {
	out           io.Writer
	unit          string
	total         uint64
	started, last time.Time
}

func (p *progress) report(done uint64) {
	if p.started.IsZero() {
		p.started, p.last = time.Now(), time.Now()
	}
	// The clock is asked now and then only.
	if p.unit == "rows" && done%256 != 0 || time.Since(p.last) < progressEvery {
		return
	}
	p.last = time.Now()
	percent := 100.0
	if p.total > 0 {
		percent = min(99, 100*float64(done)/float64(p.total))
	}
	fmt.Fprintf(p.out, "  %d of about %d %s (%.0f%%), %.0f %s/s\n", done, max(p.total, done), p.unit, percent, p.rate(done), p.unit)
}

func (p *progress) rate(done uint64) float64 {
	return float64(done) / max(time.Since(p.started).Seconds(), 0.001)
}

func (p *progress) end(done uint64) {
	if done == 0 {
		fmt.Fprintf(p.out, "  0 %s\n", p.unit)
		return
	}
	fmt.Fprintf(p.out, "  %d %s in %s\n", done, p.unit, time.Since(p.started).Round(10*time.Millisecond))
}

// lock takes a file for this process alone.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
