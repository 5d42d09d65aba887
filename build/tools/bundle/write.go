package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/andybalholm/brotli"
)

// manifest is manifest.json, as package web reads it.
type manifest struct {
	Names map[string]string `json:"names"`
	Files []string          `json:"files"`
}

// placeholder is the one file of dist that is committed.
const placeholder = "placeholder"

// write fills the folder: the files, the licences, then the manifest that names
// them. What isn't among them goes last.
func write(dist string, m manifest, files []file, libraries []licence) error {
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	keep := []string{placeholder, "manifest.json", "licences.json"}
	for _, f := range files {
		m.Files = append(m.Files, f.name)
		keep = append(keep, f.name, f.name+".br", f.name+".gz")
		if err := writeForms(filepath.Join(dist, f.name), f.body); err != nil {
			return err
		}
	}
	slices.Sort(m.Files)
	if err := writeJSON(filepath.Join(dist, "licences.json"), libraries); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dist, "manifest.json"), m); err != nil {
		return err
	}
	return removeOthers(dist, keep)
}

// writeForms writes a file and its compressed forms, unless they are there: the
// name says what is in it.
func writeForms(name string, body []byte) error {
	forms := map[string]func(io.Writer) (io.WriteCloser, error){
		".br": func(w io.Writer) (io.WriteCloser, error) {
			return brotli.NewWriterLevel(w, brotli.BestCompression), nil
		},
		".gz": func(w io.Writer) (io.WriteCloser, error) {
			return gzip.NewWriterLevel(w, gzip.BestCompression)
		},
	}
	for suffix, compress := range forms {
		if _, err := os.Stat(name + suffix); err == nil {
			continue
		}
		packed, err := pack(body, compress)
		if err != nil {
			return err
		}
		if err := replace(name+suffix, packed); err != nil {
			return err
		}
	}
	return replace(name, body)
}

func pack(body []byte, compress func(io.Writer) (io.WriteCloser, error)) ([]byte, error) {
	var packed bytes.Buffer
	w, err := compress(&packed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func writeJSON(name string, value any) error {
	encoded, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		return err
	}
	return replace(name, append(encoded, '\n'))
}

// replace writes a file whole or not at all.
func replace(name string, body []byte) error {
	unfinished := name + ".unfinished"
	if err := os.WriteFile(unfinished, body, 0o644); err != nil {
		return err
	}
	return os.Rename(unfinished, name)
}

func removeOthers(dist string, keep []string) error {
	entries, err := os.ReadDir(dist)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if slices.Contains(keep, entry.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dist, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("an old file: %w", err)
		}
	}
	return nil
}
