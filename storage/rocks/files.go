package rocks

// File is one live table file.
type File struct {
	// Family is the place of its column family in Options.Families.
	Family, Level int
	Bytes         uint64
	// Entries are rows and marks of deletion, Deletions the marks among them.
	Entries, Deletions uint64
}

// Files lists the live table files; none if the database is closed.
func (db *DB) Files() []File {
	if !db.gate.enter() {
		return nil
	}
	defer db.gate.leave()
	place := make(map[string]int, len(db.options.Families))
	for i, name := range db.options.familyNames() {
		place[name] = i
	}
	live := db.db.GetLiveFilesMetaData()
	files := make([]File, 0, len(live))
	for _, f := range live {
		files = append(files, File{
			Family: place[f.ColumnFamilyName], Level: f.Level, Bytes: uint64(f.Size), Entries: f.Entries, Deletions: f.Deletions,
		})
	}
	return files
}
