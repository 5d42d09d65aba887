package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// overlayFile is the content of the overlay: what was persisted through the API,
// and the history of changes.
type overlayFile struct {
	Settings map[string]jsontext.Value `json:"settings"`
	History  []Entry                   `json:"history"`
}

// Entry is one change of the configuration.
type Entry struct {
	Time time.Time `json:"time"`
	// Who is the name of a caller or of a signal.
	Who string `json:"who"`
	// Persisted changes outlast a restart.
	Persisted bool     `json:"persisted"`
	Changes   []Change `json:"changes"`
}

// Change is the change of one setting. Secrets can't change while the server
// runs, so none is in here.
type Change struct {
	Key  string         `json:"key"`
	From jsontext.Value `json:"from"`
	To   jsontext.Value `json:"to"`
}

// maxHistory bounds the history; older entries are dropped.
const maxHistory = 200

// overlay reads the overlay file; one that isn't there is empty.
func (l *loader) overlay(path string) (layer, []Entry) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return layer{}, nil
	}
	if err == nil && !info.Mode().IsRegular() { // a device may have no end
		err = errors.New("it is not a regular file")
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(path)
	}
	var file overlayFile
	if err == nil {
		err = json.Unmarshal(content, &file, json.RejectUnknownMembers(true))
	}
	if err != nil {
		l.problem("the overlay file %s can't be read: %v; move it away to start without the changes that were persisted", path, err)
		return layer{}, nil
	}
	values := layer{}
	for _, name := range sortedKeys(file.Settings) {
		l.overlaid(path, name, file.Settings[name], values)
	}
	return values, file.History
}

func (l *loader) overlaid(file, name string, raw jsontext.Value, values layer) {
	k := find(name)
	if k == nil || !k.reload || k.sets != nil {
		l.problem("the overlay file %s sets %s, which is no setting that can be persisted; remove it there", file, name)
		return
	}
	var value any
	err := json.Unmarshal(raw, &value)
	if err == nil {
		value, err = k.fromFile(value)
	}
	if err != nil {
		l.problem("%s %v (set by the overlay file %s)", name, err, file)
		return
	}
	values.set(k, given{value, "overlay"})
}

// stage writes the overlay file anew, with an entry put before the others, but
// beside the one in use; publish puts it in place. A kill at any moment leaves the
// old content or the new. There is one writer, so what a kill left behind is
// written over.
func (in *layers) stage(entry Entry) error {
	history := append([]Entry{entry}, in.history...)
	in.history = history[:min(len(history), maxHistory)]
	file := overlayFile{Settings: map[string]jsontext.Value{}, History: in.history}
	for path, g := range in.overlay {
		file.Settings[path] = encode(g.value)
	}
	content, err := json.Marshal(file, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	err = writeSynced(in.stagedFile(), append(content, '\n'))
	in.staged = err == nil
	return err
}

func (in *layers) stagedFile() string { return in.overlayFile + ".tmp" }

// publish puts the staged file in place, if there is one.
func (in *layers) publish() error {
	if !in.staged {
		return nil
	}
	in.staged = false
	if err := os.Rename(in.stagedFile(), in.overlayFile); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(in.overlayFile))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
