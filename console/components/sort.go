package components

// Sorted is how a list is sorted by a column, as aria-sort has it. Order is the name
// of a column, with a minus before it to descend.
func Sorted(order, column string) string {
	switch order {
	case column:
		return "ascending"
	case "-" + column:
		return "descending"
	}
	return "none"
}
