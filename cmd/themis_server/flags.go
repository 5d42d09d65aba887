package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// action is what the program is asked to do, by the name of its flag.
type action string

const (
	actionServe    action = ""
	actionHelp     action = "help"
	actionVersion  action = "version"
	actionValidate action = "validate"
	actionVerify   action = "verify"
	actionBackup   action = "backup"
	actionRestore  action = "restore"
	actionHashKey  action = "hash-key"
	actionHealth   action = "healthcheck"
)

type flags struct {
	action action
	config string
	set    []string
	// backup and restore are of the actions of that name.
	backup  string
	restore restoreFlags
}

const usage = `Usage: themis_server [--config FILE] [--set KEY=VALUE]... [ACTION]

Without an action the server runs. Without a file it listens on 127.0.0.1:8765
and keeps its data in ./data.

  --config FILE        read the configuration: JSON with comments, or YAML
  --set KEY=VALUE      set one key over the file and the environment, as in
                       --set server.port=9000; may be repeated

Actions:
  --validate           check the configuration and what it names, and exit
  --verify             check all data of a stopped server, and exit
  --hash-key           print the hash of the API key in standard input, or of
                       a new one if there is none, and exit
  --healthcheck        ask the running server whether it is ready, and exit
  --version            print the version and exit
  --backup DIR         add a backup of a stopped server's data to DIR, and exit
  --restore SNAPSHOT --target DIR [--force] [--until POINT] [--archive DIR]
                       put a snapshot's folder, the latest backup in a folder of
                       backups, or with FOLDER@ID that backup, in the place of
                       DIR, and exit. --force replaces what is there. --until
                       rolls it forward with the archive of writes to a
                       sequence, a time as 2026-11-22T10:00:00Z, or latest
  --help               print this

Every key can also be set in the environment, as THEMIS_<SECTION>_<KEY>:
THEMIS_SERVER_PORT=9000.
`

func parseFlags(args []string, stdout io.Writer) (flags, error) {
	var f flags
	var version, validate, verify, hash, health bool
	set := flag.NewFlagSet("themis_server", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.config, "config", "", "")
	set.Func("set", "", func(pair string) error { f.set = append(f.set, pair); return nil })
	set.BoolVar(&version, string(actionVersion), false, "")
	set.BoolVar(&validate, string(actionValidate), false, "")
	set.BoolVar(&verify, string(actionVerify), false, "")
	set.BoolVar(&hash, string(actionHashKey), false, "")
	set.BoolVar(&health, string(actionHealth), false, "")
	set.StringVar(&f.backup, string(actionBackup), "", "")
	set.StringVar(&f.restore.source, string(actionRestore), "", "")
	set.StringVar(&f.restore.target, "target", "", "")
	set.BoolVar(&f.restore.force, "force", false, "")
	set.StringVar(&f.restore.until, "until", "", "")
	set.StringVar(&f.restore.archive, "archive", "", "")
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return flags{action: actionHelp}, nil
	case err != nil:
		return f, err
	case set.NArg() > 0:
		return f, fmt.Errorf("there is no argument %q", set.Arg(0))
	case f.restore.check() != nil:
		return f, f.restore.check()
	}
	for name, asked := range map[action]bool{
		actionVersion: version, actionValidate: validate, actionVerify: verify,
		actionHashKey: hash, actionHealth: health,
		actionBackup: f.backup != "", actionRestore: f.restore.source != "",
	} {
		if !asked {
			continue
		}
		if f.action != actionServe {
			return f, errors.New("only one action is possible at a time")
		}
		f.action = name
	}
	return f, nil
}
