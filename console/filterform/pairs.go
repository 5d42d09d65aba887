package filterform

// Pairs are the form as names and values in turn, for view.URL. That leaves out
// what has no value, and the rows would no longer fit together; so a space, which
// is read as nothing, stands for an empty field.
func (f Form) Pairs() []string {
	var list []string
	values := f.Values()
	for _, name := range []string{ColumnField, OpField, ValueField, AnyField, JSONField} {
		for _, value := range values[name] {
			if value == "" {
				value = " "
			}
			list = append(list, name, value)
		}
	}
	return list
}
