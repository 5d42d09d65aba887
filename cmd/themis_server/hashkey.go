package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vccdb/vccdb/server/auth"
)

// maxKeyInput bounds what is read for a key.
const maxKeyInput = 4 << 10

// hashKey prints a key and its hash: the key that stands in the input, or a
// random one if there is none.
func hashKey(input io.Reader, stdout io.Writer) error {
	text, err := io.ReadAll(io.LimitReader(input, maxKeyInput))
	if err != nil {
		return fmt.Errorf("the key can't be read: %w", err)
	}
	key := strings.TrimRight(string(text), "\r\n")
	if key == "" {
		key = auth.NewKey()
	}
	// Whether the server would take it.
	if _, err := auth.NewKeys([]auth.Key{{Key: key, Role: auth.ReadOnly}}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "key:      %s\nkey_hash: %s\n", key, auth.HashKey(key))
	return err
}

// keyInput is standard input, unless a person sits there, who would have to
// guess that something is waited for.
func keyInput(stdin *os.File) io.Reader {
	if info, err := stdin.Stat(); err != nil || info.Mode()&os.ModeCharDevice != 0 {
		return strings.NewReader("")
	}
	return stdin
}
