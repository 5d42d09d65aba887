package wire

// Arena is the shared memory as the server sees it: two staging areas for vectors and
// room for filters.
type Arena struct{ mem []byte }
