package storage

import (
	"github.com/vccdb/vccdb/internal/errs"
	"github.com/vccdb/vccdb/storage/rocks"
)

// Upgrade turns the database at o.Path from the format before today's into
// today's, in place: the caller works on a copy. It adds the column families that
// are missing and the new stamp, and leaves every row as it is.
func Upgrade(o Options) error {
	o.EnsureDefaults()
	format, err := Inspect(o.Path)
	if err != nil {
		return err
	}
	if format == FormatLegacy || format+1 != FormatVersion {
		return errs.New(errs.Invalid, "no_upgrade", "There is no upgrade of format %d at %s to format %d; nothing was changed.",
			format, o.Path, FormatVersion)
	}
	db, err := rocks.Open(o.rocksOptions())
	if err != nil {
		return openError(o.Path, err)
	}
	defer db.Close()
	var b rocks.Batch
	b.Put(familyDefault, []byte(metaFormat), formatStamp(FormatVersion))
	if err := db.Write(&b, true); err != nil {
		return openError(o.Path, err)
	}
	return nil
}

// CountRows counts the rows of each column family of the database at path, by
// reading all of it. It changes nothing there, so it must not be used beside a
// process that has the database open. The default family is left out: its rows
// are about the others.
func CountRows(path string) (map[string]uint64, error) {
	source, err := rocks.OpenSource(path)
	if err != nil {
		return nil, openError(path, err)
	}
	defer source.Close()
	rows := map[string]uint64{}
	for _, family := range source.Families() {
		if family == families[familyDefault].Name {
			continue
		}
		n := uint64(0)
		if err := source.Scan(family, func(_, _ []byte) (bool, error) { n++; return true, nil }); err != nil {
			return nil, readError(err)
		}
		rows[family] = n
	}
	return rows, nil
}
