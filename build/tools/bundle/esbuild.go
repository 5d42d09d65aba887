package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/evanw/esbuild/pkg/api"
)

// metafile is the part of esbuild's description of its outputs that is used
// here. Paths are relative to the working folder.
type metafile struct {
	Outputs map[string]struct {
		EntryPoint string `json:"entryPoint"`
		Inputs     map[string]struct {
			Bytes int `json:"bytesInOutput"`
		} `json:"inputs"`
	} `json:"outputs"`
}

// build runs esbuild, which has printed its errors. The entry is the output of
// the first entry point.
func build(options api.BuildOptions) (bundle, error) {
	result := api.Build(options)
	if n := len(result.Errors) + len(result.Warnings); n > 0 {
		return bundle{}, fmt.Errorf("%d errors and warnings in the sources, which are above", n)
	}
	var meta metafile
	if err := json.Unmarshal([]byte(result.Metafile), &meta); err != nil {
		return bundle{}, fmt.Errorf("esbuild's metafile: %w", err)
	}
	var made bundle
	for _, output := range result.OutputFiles {
		made.files = append(made.files, file{filepath.Base(output.Path), output.Contents})
	}
	for name, output := range meta.Outputs {
		for input, share := range output.Inputs {
			if share.Bytes > 0 {
				made.inputs = append(made.inputs, input)
			}
		}
		if output.EntryPoint == "console.css" || output.EntryPoint == "js/main.js" {
			made.entry = filepath.Base(name)
		}
	}
	slices.Sort(made.inputs)
	if made.entry == "" {
		return bundle{}, errors.New("esbuild's metafile has no output of the entry point")
	}
	return made, nil
}
