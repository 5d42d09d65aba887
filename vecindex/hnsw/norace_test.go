//go:build !race

package hnsw

const raceFactor = 1
