package config

// AfterRestart lists the settings that a restart would change: what was edited in
// the file and waits for one, and changes that weren't persisted, which would be
// gone. The error says why a restart would fail.
func (l *Live) AfterRestart() ([]Change, error) {
	next, err := read(l.source)
	if err != nil {
		return nil, err
	}
	s, err := next.resolve()
	if err != nil {
		return nil, err
	}
	return diff(l.state.Load(), s), nil
}
