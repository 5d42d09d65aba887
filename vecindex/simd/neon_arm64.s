#include "textflag.h"

// NEON. The pieces are described in rows_arm64.h.

#define TERM(f, q, v) FMLA4(f, q, v)
#define TERMONE(f, q, v) FMADDS f, v, q, v

// func dotRowsNEON(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)
TEXT ·dotRowsNEON(SB), NOSPLIT, $0-64
#include "rows_arm64.h"

#undef TERM
#undef TERMONE

#define TERM(f, q, v) \
	FSUB4(f, q, f); \
	FMLA4(f, f, v)

#define TERMONE(f, q, v) \
	FSUBS  f, q, f; \
	FMADDS f, v, f, v

// func l2RowsNEON(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)
TEXT ·l2RowsNEON(SB), NOSPLIT, $0-64
#include "rows_arm64.h"
