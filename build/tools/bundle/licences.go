package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// licence is an element of licences.json.
type licence struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Licence string `json:"licence"`
	Text    string `json:"text"`
}

// licences lists the libraries that the inputs belong to, by name. A library
// without a licence is an error.
func licences(root string, inputs []string) ([]licence, error) {
	var names []string
	for _, input := range inputs {
		if name := library(input); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all []licence
	for _, name := range slices.Compact(names) {
		one, err := licenceOf(filepath.Join(root, "node_modules", filepath.FromSlash(name)))
		if err != nil {
			return nil, fmt.Errorf("the licence of %s: %w", name, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// library is the npm package that an input belongs to; empty for our own.
func library(input string) string {
	i := strings.LastIndex(input, "node_modules/")
	if i < 0 {
		return ""
	}
	parts := strings.SplitN(input[i+len("node_modules/"):], "/", 3)
	if strings.HasPrefix(parts[0], "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func licenceOf(folder string) (licence, error) {
	encoded, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err != nil {
		return licence{}, err
	}
	var about struct{ Name, Version, License string }
	if err := json.Unmarshal(encoded, &about); err != nil {
		return licence{}, err
	}
	found, err := filepath.Glob(filepath.Join(folder, "LICEN[CS]E*"))
	if err != nil {
		return licence{}, err
	}
	if len(found) == 0 {
		return licence{}, fmt.Errorf("%s has no licence file", folder)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		return licence{}, err
	}
	if about.License == "" {
		about.License, _, _ = strings.Cut(strings.TrimSpace(string(text)), "\n")
	}
	return licence{about.Name, about.Version, about.License, string(text)}, nil
}
