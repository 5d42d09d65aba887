package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/vccdb/vccdb/server/auth"
)

// APIKey is one caller. Exactly one of Key and KeyHash is set.
type APIKey struct {
	// Key is the key itself, KeyHash "sha256:" and the hash of it in hex.
	Key     string
	KeyHash string
	// Role is readonly, readwrite or admin.
	Role string
	// Name is unique and never empty.
	Name string
}

// AuthKeys are the keys as package auth takes them.
func (s *Server) AuthKeys() []auth.Key {
	all := make([]auth.Key, len(s.APIKeys))
	for i, k := range s.APIKeys {
		role, _ := auth.ParseRole(k.Role) // it was checked; without a role auth refuses the key
		all[i] = auth.Key{Key: k.Key, Hash: k.KeyHash, Role: role, Name: k.Name}
	}
	return all
}

// parseAPIKeys reads the list as JSON, which the environment and flags carry.
func parseAPIKeys(text string) ([]APIKey, error) {
	if strings.TrimSpace(text) == "" {
		return []APIKey{}, nil
	}
	var items []any
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		// The cause may quote the text, which has secrets in it.
		return nil, errors.New(`can't be read; it must be a JSON list, as in [{"key_hash":"sha256:...","role":"admin","name":"ops"}]`)
	}
	return readAPIKeys(items)
}

// readAPIKeys checks a decoded list. No error tells a key or a hash.
func readAPIKeys(items []any) ([]APIKey, error) {
	all := make([]APIKey, 0, len(items))
	for i, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("holds an entry %d that is not an object; write {key or key_hash, role, name}", i+1)
		}
		k, err := readAPIKey(object)
		if err != nil {
			return nil, fmt.Errorf("holds an entry %d %w", i+1, err)
		}
		if k.Name == "" {
			k.Name = fmt.Sprintf("key-%d", i+1)
		}
		for j, other := range all {
			switch {
			case other.Name == k.Name:
				return nil, fmt.Errorf("holds two entries, %d and %d, with the name %q; each needs one of its own", j+1, i+1, k.Name)
			case k.Key != "" && other.Key == k.Key || k.KeyHash != "" && other.KeyHash == k.KeyHash:
				return nil, fmt.Errorf("holds the same key twice, in the entries %d and %d", j+1, i+1)
			}
		}
		all = append(all, k)
	}
	return all, nil
}

func readAPIKey(object map[string]any) (APIKey, error) {
	var k APIKey
	fields := map[string]*string{"key": &k.Key, "key_hash": &k.KeyHash, "role": &k.Role, "name": &k.Name}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		field := fields[name]
		if field == nil { // its name may be a key that went astray
			return k, errors.New("with an unknown member; it takes key or key_hash, role and name")
		}
		text, ok := object[name].(string)
		if !ok || text == "" {
			return k, fmt.Errorf("whose %s is not a string, or empty", name)
		}
		*field = text
	}
	if (k.Key == "") == (k.KeyHash == "") {
		return k, errors.New("that needs exactly one of key and key_hash")
	}
	role, err := auth.ParseRole(k.Role)
	if err != nil {
		return k, fmt.Errorf("whose role is wrong: %w", err)
	}
	k.Role = role.String()
	return k, nil
}
