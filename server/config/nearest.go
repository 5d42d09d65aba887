package config

import "strings"

// nearest returns the candidate with the smallest edit distance to name. A
// candidate is also measured by its last part alone, so that a key in the wrong
// section, or in none, finds its home.
func nearest(name string, candidates []string) string {
	name = name[:min(len(name), longestName)]
	best, bestDistance := "", -1
	for _, candidate := range candidates {
		d := min(distance(name, candidate), 1+distance(lastPart(name), lastPart(candidate)))
		if bestDistance < 0 || d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// longestName bounds the work for a name that resembles nothing.
const longestName = 128

func lastPart(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
