// Package schema knows what an entity is made of: JSON documents, the typed
// values at dotted paths inside them, vectors and points, and how an index
// definition turns a document into index terms.
//
// It promises that a document accepted by ValidateDocument is strict JSON with
// finite numbers and bounded depth, that numbers keep their text through every
// function here, and that int64 and float64 values compare exactly with each
// other. Nothing here panics on hostile input. The package is a leaf: it reaches
// no storage, starts no goroutines and has no locks. Slices handed out by an
// Extracted point into the document it was made from.
package schema
