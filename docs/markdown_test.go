package docs_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// block is one fenced block of a document.
type block struct {
	// file and line say where it stands, for messages.
	file    string
	line    int
	section string
	// lang is the first word after the fence.
	lang, text string
}

func (b *block) String() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

// step is an sh block and, where the document shows it, its answer.
type step struct {
	block
	answer *block
}

// blocks reads the fenced blocks of a document.
func blocks(t *testing.T, path string) (all []block) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	section, n := "", 0
	for line := range strings.Lines(string(content)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			lang, _, _ := strings.Cut(fence, " ")
			open = &block{file: path, line: n, section: section, lang: lang}
		case isFence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "#"):
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	if open != nil {
		t.Fatalf("%s: the block is never closed", open)
	}
	return all
}

// steps are the sh blocks in order. A json or text block right after one, in the
// same section, is its answer; blocks of any other kind are handed to other.
func steps(t *testing.T, path string, other func(block)) (all []step) {
	t.Helper()
	for _, b := range blocks(t, path) {
		switch last := len(all) - 1; b.lang {
		case "sh":
			all = append(all, step{block: b})
		case "json", "text":
			if last < 0 || all[last].answer != nil || all[last].section != b.section {
				t.Fatalf("%s: this is the answer to no command", &b)
			}
			all[last].answer = &b
		default:
			other(b)
		}
	}
	return all
}
