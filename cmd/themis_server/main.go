// Command themis_server runs the database. Without a configuration file it
// listens on 127.0.0.1:8765 and keeps its data in ./data.
//
// boot.go is the list of what starts and what stops, in order.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/vccdb/vccdb/server/config"
)

// Exit codes: a failure, and flags that don't make sense.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "themis_server:", err)
		fmt.Fprintln(stderr, "See themis_server --help.")
		return exitUsage
	}
	source := config.Source{File: f.config, Environ: environ, Set: f.set}
	switch f.action {
	case actionHelp:
		return exitOK
	case actionHashKey:
		return exitCode(stderr, hashKey(keyInput(os.Stdin), stdout))
	case actionVersion:
		fmt.Fprintln(stdout, thisBuild())
		return exitOK
	case actionValidate:
		machine := config.ThisMachine()
		machine.Device = describeDevice
		if !config.Check(stdout, source, machine) {
			return exitFailure
		}
		return exitOK
	}
	live, err := config.Open(source)
	if err != nil {
		report(stderr, err)
		return exitFailure
	}
	switch f.action {
	case actionRestore:
		err = restore(ctx, &f.restore, live.Config(), stdout, stderr)
	case actionBackup:
		err = backup(ctx, f.backup, live.Config(), stdout, stderr)
	case actionVerify:
		err = verify(ctx, live.Config(), stdout, stderr)
	case actionHealth:
		err = healthcheck(ctx, &live.Config().Server, stdout)
	default:
		err = serve(ctx, live, newSystemd(environ), stderr)
	}
	return exitCode(stderr, err)
}

func exitCode(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "themis_server:", err)
	return exitFailure
}

// report prints what is wrong with a configuration, one line for each problem.
func report(w io.Writer, err error) {
	problems, ok := err.(config.Problems)
	if !ok {
		problems = config.Problems{err.Error()}
	}
	for _, problem := range problems {
		fmt.Fprintln(w, "themis_server: config:", problem)
	}
}
