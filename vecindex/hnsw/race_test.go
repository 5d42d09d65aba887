//go:build race

package hnsw

// raceFactor divides the sizes of tests, which the race detector slows down.
const raceFactor = 5
