package overview

import "strconv"

// linkID lets a link keep the focus when the list is replaced.
func linkID(i int, item Item) string { return "attention-" + item.Path + "-" + strconv.Itoa(i) }

// figureID does the same for the figures.
func figureID(i int) string { return "figure-" + strconv.Itoa(i) }
