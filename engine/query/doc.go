// Package query is filters and plans: it parses the wire form of a filter into
// an Expr, decides whether a document matches, orders documents, and plans
// which index terms to read for a filter. It knows neither RocksDB nor HNSW: a
// plan is data that the engine carries out, and what it needs to know about the
// data it asks through an Estimator.
//
// What it promises:
//
//  1. A plan is complete: the ids its Root yields include every match. Where
//     they may include more, Residual decides, and it is nil only when the
//     terms answer exactly.
//  2. Match doesn't depend on indexes, and a plan's answer is Match's answer.
//
// # Semantics
//
// A predicate looks at the values at its column: the scalar there or each
// element of an array (nested arrays included), and the same in each object of
// an array on the way. It matches if any of these values does. ne and nin are
// the negations of eq and in, so a document without the column matches them.
// exists is about the path: null counts as present. Values compare by JSON
// type; lt, lte, gt, gte and between only ever match values of their operand's
// type. An object, or an empty array, is present but equal to nothing.
// contains looks for a substring in strings, and with any other operand for an
// equal element. Distances on Earth are great circles on a sphere of the mean
// radius.
//
// Everything here is immutable after it was made and safe for concurrent use.
// There are no goroutines; the only shared state is scratch memory in pools.
package query
