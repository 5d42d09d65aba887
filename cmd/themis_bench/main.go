// Command themis_bench measures vector search and shows the database at work:
//
//	themis_bench recall   recall@k and speed over ef, in this process or over HTTP
//	themis_bench compare  our index and other libraries: speed at equal recall, build, memory
//	themis_bench filtered recall and latency under filters that allow much or little
//	themis_bench churn    recall and speed while all vectors are replaced by others
//	themis_bench restart  kill a server and see when searches answer again, and what is lost
//	themis_bench gpu      search on a GPU, and kill its worker meanwhile
//	themis_bench serving  ingest and searches over HTTP beside the same in this process
//	themis_bench demo     load English words into a server and search them
//	themis_bench soak     insert a million entities and watch the server's memory
//	themis_bench slow     search beside a thousand slow connections
//	themis_bench console  how long the pages of the console take
//	themis_bench data     make the data sets that comparisons work on
//	themis_bench gen      write synthetic vectors as fvecs, with exact neighbours as ivecs
//	themis_bench peer     build and search our index as compare asks on standard input
//	themis_bench words    make the word vectors that the repository ships
//
// Each takes -help. What goes over HTTP uses the public REST API only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// output is where a command writes: its results, and its progress and complaints.
type output struct{ results, progress io.Writer }

// command is one subcommand: it registers its flags and returns what to run
// once they are parsed.
type command struct {
	name, does string
	setup      func(*flag.FlagSet) func(context.Context, output) error
}

func commands() []command {
	return []command{
		{"recall", "measure recall@k and speed over ef, in this process or over HTTP", setupRecall},
		{"compare", "compare our index with other libraries: speed at equal recall, build time, memory", setupCompare},
		{"filtered", "measure recall and latency under filters that allow much or little", setupFiltered},
		{"churn", "measure recall and speed while all vectors are replaced by others", setupChurn},
		{"restart", "kill a server and see when searches answer again, and what is lost", setupRestart},
		{"gpu", "search on a GPU and on the CPU, and kill the GPU's worker under load", setupGPU},
		{"serving", "measure ingest and searches over HTTP beside the same in this process", setupServing},
		{"demo", "load English words into a server and search them", setupDemo},
		{"soak", "insert many entities and watch the server's memory", setupSoak},
		{"slow", "search beside a thousand slow connections", setupSlow},
		{"console", "measure how long the pages of the console take", setupConsole},
		{"data", "make the data sets that comparisons work on", setupData},
		{"gen", "write synthetic vectors as fvecs, with exact neighbours as ivecs", setupGen},
		{"peer", "build and search our index as compare asks on standard input", setupPeer},
		{"words", "make the word vectors that the repository ships", setupWords},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], output{os.Stdout, os.Stderr}); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "themis_bench:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out output) error {
	if len(args) > 0 {
		for _, c := range commands() {
			if c.name != args[0] {
				continue
			}
			flags := flag.NewFlagSet("themis_bench "+c.name, flag.ContinueOnError)
			flags.SetOutput(out.progress)
			do := c.setup(flags)
			if err := flags.Parse(args[1:]); err != nil {
				return err
			}
			if flags.NArg() > 0 {
				return fmt.Errorf("%s takes no argument %q; see themis_bench %s -help", c.name, flags.Arg(0), c.name)
			}
			return do(ctx, out)
		}
	}
	fmt.Fprintln(out.progress, "usage: themis_bench COMMAND [flags]; COMMAND -help lists the flags")
	for _, c := range commands() {
		fmt.Fprintf(out.progress, "  %-8s %s\n", c.name, c.does)
	}
	return flag.ErrHelp
}
