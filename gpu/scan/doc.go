// Package scan keeps vectors in a device's memory and searches them there by
// scanning: it lays out the rows, plans a search as launches of the kernels of
// gpu/kernels, and knows nothing of CUDA, which is behind the interface Launcher.
package scan
