package engine

// Sweep does at once what the sweep loop does at its interval.
func Sweep(e *Engine) error {
	for _, t := range e.allTables() {
		if err := e.sweep(t); err != nil {
			return err
		}
	}
	if err := e.trimOplog(); err != nil {
		return err
	}
	return e.retainFeed()
}

// KeptNames returns how many dropped tables' names are stored for the feed.
func KeptNames(e *Engine) (n int, err error) {
	err = e.store.ScanMeta(metaDropped, func(string, []byte) error {
		n++
		return nil
	})
	return n, err
}

// DamageFeed replaces what Check holds the feed against, for the test that it
// notices: the catalog's name of a table is lost.
func DamageFeed(e *Engine, tableName string) {
	e.catalog.Lock()
	defer e.catalog.Unlock()
	delete(e.catalog.names, e.catalog.tables[tableName].id)
}
