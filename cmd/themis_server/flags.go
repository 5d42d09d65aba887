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
  --backup DIR         not available yet
  --restore SNAPSHOT --target DIR [--force]
                       not available yet
  --help               print this

Every key can also be set in the environment, as THEMIS_<SECTION>_<KEY>:
THEMIS_SERVER_PORT=9000.
`

func parseFlags(args []string, stdout io.Writer) (flags, error) {
	var f flags
	var version, validate, verify, force, hash, health bool
	var backup, restore, target string
	set := flag.NewFlagSet("themis_server", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.config, "config", "", "")
	set.Func("set", "", func(pair string) error { f.set = append(f.set, pair); return nil })
	set.BoolVar(&version, string(actionVersion), false, "")
	set.BoolVar(&validate, string(actionValidate), false, "")
	set.BoolVar(&verify, string(actionVerify), false, "")
	set.BoolVar(&hash, string(actionHashKey), false, "")
	set.BoolVar(&health, string(actionHealth), false, "")
	set.StringVar(&backup, string(actionBackup), "", "")
	set.StringVar(&restore, string(actionRestore), "", "")
	set.StringVar(&target, "target", "", "")
	set.BoolVar(&force, "force", false, "")
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return flags{action: actionHelp}, nil
	case err != nil:
		return f, err
	case set.NArg() > 0:
		return f, fmt.Errorf("there is no argument %q", set.Arg(0))
	case (target != "" || force) && restore == "":
		return f, errors.New("--target and --force belong to --restore")
	}
	for name, asked := range map[action]bool{
		actionVersion: version, actionValidate: validate, actionVerify: verify,
		actionHashKey: hash, actionHealth: health,
		actionBackup: backup != "", actionRestore: restore != "",
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
