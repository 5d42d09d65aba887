//go:build cuda

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/vccdb/vccdb/gpu/selftest"
	"github.com/vccdb/vccdb/gpu/wire"
)

// list is a flag of whole numbers. 0 alone is the empty list.
type list []int

func (l *list) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*l)), " ", ","), "[]")
}

func (l *list) Set(text string) error {
	*l = list{}
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no list of numbers such as 1,32,1024", text)
		}
		if n > 0 {
			*l = append(*l, n)
		}
	}
	return nil
}

// options are the flags as the selftest wants them.
func (f *flags) options(progress io.Writer) (selftest.Options, error) {
	var o selftest.Options
	if f.quick {
		o = o.Quick()
	}
	o.Work, o.Python, o.Seed, o.Progress = f.work, f.python, f.seed, progress
	if f.cases != 0 {
		o.Cases = f.cases
	}
	if f.k != 0 {
		o.K = f.k
	}
	for _, flag := range []struct {
		from list
		to   *[]int
	}{{f.rows, &o.Rows}, {f.dims, &o.Dims}, {f.batches, &o.Batches}} {
		if flag.from != nil {
			*flag.to = flag.from
		}
	}
	if f.codes != "" {
		codes, ok := wire.ParseCodes(f.codes)
		if !ok {
			return o, fmt.Errorf("there are no codes %q, only int8 and bf16", f.codes)
		}
		o.Codes = []wire.Codes{codes}
	}
	return o, nil
}

// selfTest checks and times the device. The table goes to stdout, what happens
// meanwhile to stderr.
func selfTest(ctx context.Context, f *flags, stdout, stderr io.Writer) int {
	o, err := f.options(stderr)
	if err != nil {
		fmt.Fprintln(stderr, "themis_gpu:", err)
		return exitUsage
	}
	d, err := f.open()
	if err != nil {
		fmt.Fprintln(stderr, "themis_gpu:", err)
		return exitFailure
	}
	report, err := selftest.Run(ctx, d, o)
	if e := d.Close(); err == nil {
		err = e
	}
	if e := report.WriteTable(stdout); err == nil {
		err = e
	}
	if e := writeJSON(f.json, report); err == nil {
		err = e
	}
	if err != nil {
		fmt.Fprintln(stderr, "themis_gpu: the selftest ended before its time:", err)
		return exitFailure
	}
	if !report.OK() {
		return exitFailure
	}
	return exitOK
}

func writeJSON(path string, report *selftest.Report) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	err = report.WriteJSON(file)
	if e := file.Close(); err == nil {
		err = e
	}
	return err
}
