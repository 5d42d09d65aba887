#include "textflag.h"

// The kernels for code rows, described in int8_arm64.h.

// The dot-product instructions of Armv8.2: SDOT adds four products to a dword.
#define TERM(x, q, v) WORD $(0x4E809400 | (q)<<16 | (x)<<5 | (v))

// func int8RowsSDOT(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)
TEXT ·int8RowsSDOT(SB), NOSPLIT, $0-72
#include "int8_arm64.h"

#undef TERM

// Every arm64: SMULL and SMLAL2 put two products, of 127 at most, in a word, SADALP
// adds two words to a dword.
#define TERM(x, q, v) \
	WORD $(0x0E20C000 | (q)<<16 | (x)<<5 | 20); \
	WORD $(0x4E208000 | (q)<<16 | (x)<<5 | 20); \
	WORD $(0x4E606800 | 20<<5 | (v))

// func int8RowsNEON(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)
TEXT ·int8RowsNEON(SB), NOSPLIT, $0-72
#include "int8_arm64.h"
