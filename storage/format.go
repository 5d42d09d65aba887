package storage

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Format is how the data in a folder is laid out.
type Format uint32

// FormatLegacy is the layout before this program had formats: one column family
// with keys table:pk and JSON objects as values.
const FormatLegacy Format = 0

// releases are the versions of the program by the format they write.
var releases = []string{FormatLegacy: "0.9", 1: "0.10", 2: "1.0"}

// Release is the version of the program that writes f, "" if it isn't known.
func (f Format) Release() string {
	if int(f) < len(releases) {
		return releases[f]
	}
	return ""
}

// FormatOf returns the format that a version of the program writes.
func FormatOf(release string) (Format, bool) {
	i := slices.Index(releases, release)
	return Format(max(i, 0)), i >= 0
}

// Inspect tells the format of the database at path. It changes nothing there, so
// it must not be used beside a process that has the database open. A RocksDB
// database of one column family without a format stamp counts as FormatLegacy.
// Errors are NotFound "storage_not_found" and Invalid "foreign_data".
func Inspect(path string) (Format, error) {
	c, err := look(path)
	if err != nil {
		return 0, err
	}
	if c.stamp == nil {
		if len(c.names) == 1 {
			return FormatLegacy, nil
		}
		return 0, foreignData(path)
	}
	version, ok := parseStamp(c.stamp)
	if !ok {
		return 0, foreignData(path)
	}
	return version, nil
}

// contents is what a look at a database shows.
type contents struct {
	names []string
	stamp []byte
	// key and value are the first row of the default family, nil if it has none.
	key, value []byte
}

func look(path string) (c contents, err error) {
	if !rocks.Exists(path) {
		return c, errs.New(errs.NotFound, "storage_not_found", "There is no database at %s.", path)
	}
	source, err := rocks.OpenSource(path)
	if err != nil {
		return c, openError(path, err)
	}
	defer source.Close()
	c.names = source.Families()
	if c.stamp, err = source.Get("default", []byte(metaFormat)); err != nil {
		return c, readError(err)
	}
	err = source.Scan("default", func(key, value []byte) (bool, error) {
		c.key, c.value = bytes.Clone(key), bytes.Clone(value)
		return false, nil
	})
	return c, readError(err)
}

// admit decides whether a database may be opened whose column families aren't
// just today's. Opening it would create those that are missing, so whatever is
// refused must be refused here.
func admit(path string) error {
	c, err := look(path)
	if err != nil {
		return err
	}
	if version, ok := parseStamp(c.stamp); ok && version != FormatVersion {
		return otherFormat(path, version)
	}
	if c.stamp == nil && len(c.names) == 1 && bytes.IndexByte(c.key, ':') > 0 && bytes.HasPrefix(c.value, []byte("{")) {
		return otherFormat(path, FormatLegacy)
	}
	for _, name := range c.names {
		if !slices.ContainsFunc(families, func(f rocks.Family) bool { return f.Name == name }) {
			return errs.New(errs.Invalid, "foreign_data",
				"The RocksDB database at %s has a column family %q that this version doesn't know. "+
					"It belongs to another program; nothing was changed.", path, name)
		}
	}
	return nil // a crash while creating may leave less; load looks for rows
}

// formatStamp is the value of metaFormat.
func formatStamp(version Format) []byte {
	return binary.LittleEndian.AppendUint32([]byte(formatMagic), uint32(version))
}

func parseStamp(stamp []byte) (Format, bool) {
	version, ok := strings.CutPrefix(string(stamp), formatMagic)
	if !ok || len(version) != 4 {
		return 0, false
	}
	return Format(binary.LittleEndian.Uint32([]byte(version))), true
}

func foreignData(path string) error {
	return errs.New(errs.Invalid, "foreign_data",
		"The RocksDB database at %s was not written by this program; nothing was changed.", path)
}

// otherFormat says what to do with data of another version of this program.
func otherFormat(path string, have Format) error {
	if have > FormatVersion {
		return errs.New(errs.Invalid, "newer_format",
			"The data at %s has format %d and was written by a newer version; this one reads format %d. Nothing was changed. "+
				"Start the newer version again, or restore a snapshot or backup that this version made.", path, have, FormatVersion)
	}
	return errs.New(errs.Invalid, "older_format",
		"The data at %[1]s has format %[2]d, of version %[3]s; this version reads format %[4]d. Nothing was changed. Run: "+
			"vccdb-migrate --from %[1]s --to %[1]s.new --version %[3]s --target %[5]s "+
			"and then set storage.rocksdb_path to the new folder.",
		path, have, have.Release(), FormatVersion, Format(FormatVersion).Release())
}
