// Package torture holds tests that run the server as users do, as a process of
// its own that is spoken to over HTTP, and hurt it: kill -9 under load, full
// disks, failing syncs, too few file descriptors, damaged files, and hours of
// load. What counts is what it had promised: an acknowledged write is there, an
// acknowledged delete stays, a write in doubt is there as a whole or not at all,
// and an answer is right or an error.
//
// The tests know nothing of the server's insides; they import nothing of it.
// `go test` runs a short form, `go tool task torture` the long one. Where a test
// needs something the machine lacks (mounting a file system, strace) it says so
// and is skipped.
//
// The package has no code of its own beside the tests.
package torture
