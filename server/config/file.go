package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/tailscale/hujson"
	"go.yaml.in/yaml/v3"
)

// parseFile decodes a file's content as YAML or as JSON with comments and
// trailing commas: by the name's extension, else by the first character.
func parseFile(name string, content []byte) (map[string]any, error) {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if isYAML(name, content) {
		return parseYAML(content)
	}
	return parseJSON(content)
}

func isYAML(name string, content []byte) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml":
		return true
	case ".json", ".jsonc", ".hujson":
		return false
	}
	start := bytes.TrimSpace(content)
	return !bytes.HasPrefix(start, []byte("{")) && !bytes.HasPrefix(start, []byte("/"))
}

func parseJSON(content []byte) (map[string]any, error) {
	standard, err := hujson.Standardize(content)
	if err != nil {
		return nil, err
	}
	var value any
	// This decoder refuses duplicate names, which the standard one lets pass.
	if err := json.Unmarshal(standard, &value); err != nil {
		return nil, err
	}
	tree, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the top level is %s; it must be an object", show(value))
	}
	return tree, nil
}

func parseYAML(content []byte) (map[string]any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	tree := map[string]any{}
	err := decoder.Decode(&tree)
	if errors.Is(err, io.EOF) {
		return tree, nil // nothing but comments
	}
	if err != nil {
		return nil, err
	}
	var more any
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file holds more than one document")
	}
	return tree, nil
}
