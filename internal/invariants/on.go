//go:build invariants

package invariants

// Enabled says whether invariants are checked while the program runs.
const Enabled = true
