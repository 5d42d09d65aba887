// Command vccdb-migrate takes the data of an earlier version over into today's
// format, in a new folder. The old data are only read.
//
// The new folder is made beside its place, under the name with .migrating at its
// end, checked as a whole and then renamed: it is either complete or not there. A
// migration that was killed starts over when it is run again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vccdb/vccdb/storage"
)

// Exit codes: a failure, and flags that don't make sense.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

const usage = `Usage: vccdb-migrate --from DIR --to DIR [--version V] [--target V] [--skip-invalid] [--rejects FILE]

Takes the data of a stopped server over into the format of this version. The old
data are only read; the new folder appears when it is complete and checked.

  --from DIR       the data of the earlier version
  --to DIR         where the migrated data go: a folder that is empty or not there
  --version V      the version that wrote the old data, 0.9 or 0.10; found out if
                   it isn't given, and refused if the data say otherwise
  --target V       the version to migrate to; only %[1]s is possible
  --skip-invalid   go on without the rows that can't be taken over; otherwise one
                   such row is enough to make nothing of it
  --rejects FILE   list those rows here, one JSON object per line; the default is
                   the folder of --to with .rejects.jsonl at its end
  --help           print this

Exit status: 0 done, 1 failed and nothing was made, 2 wrong use.
`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	m, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stdout, usage, today.Release())
		return exitOK
	case err != nil:
		fmt.Fprintln(stderr, "vccdb-migrate:", err)
		fmt.Fprintln(stderr, "See vccdb-migrate --help.")
		return exitUsage
	}
	m.out = stdout
	if err := m.run(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("stopped; nothing was made, and the old data are as they were")
		}
		fmt.Fprintln(stderr, "vccdb-migrate:", err)
		return exitFailure
	}
	return exitOK
}

// today is the format to migrate to.
const today storage.Format = storage.FormatVersion

func parse(args []string) (*migration, error) {
	m := &migration{}
	set := flag.NewFlagSet("vccdb-migrate", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&m.from, "from", "", "")
	set.StringVar(&m.to, "to", "", "")
	set.StringVar(&m.version, "version", "", "")
	set.StringVar(&m.target, "target", today.Release(), "")
	set.BoolVar(&m.skipInvalid, "skip-invalid", false, "")
	set.StringVar(&m.rejects.path, "rejects", "", "")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case set.NArg() > 0:
		return nil, fmt.Errorf("there is no argument %q", set.Arg(0))
	case m.from == "" || m.to == "":
		return nil, errors.New("--from and --to are needed")
	case m.target != today.Release():
		return nil, fmt.Errorf("this program migrates to version %s only, not to %q", today.Release(), m.target)
	}
	if _, known := storage.FormatOf(m.version); m.version != "" && !known {
		return nil, fmt.Errorf("version %q isn't known; 0.9 and 0.10 are", m.version)
	}
	return m, m.places()
}

// places makes the paths absolute and refuses those that lie in each other.
func (m *migration) places() (err error) {
	if m.from, err = resolve(m.from); err != nil {
		return err
	}
	if m.to, err = resolve(m.to); err != nil {
		return err
	}
	if within(m.to, m.from) || within(m.from, m.to) {
		return fmt.Errorf("--from and --to lie in each other (%s and %s)", m.from, m.to)
	}
	if m.rejects.path == "" {
		m.rejects.path = m.to + ".rejects.jsonl"
	}
	if m.rejects.path, err = resolve(m.rejects.path); err != nil {
		return err
	}
	if within(m.rejects.path, m.from) || within(m.rejects.path, m.to) || within(m.rejects.path, m.to+suffix) {
		return errors.New("--rejects lies in one of the data folders")
	}
	return nil
}

// resolve makes a path absolute and follows the links in the part that exists.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) || filepath.Dir(path) == path {
		return real, err
	}
	parent, err := resolve(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
