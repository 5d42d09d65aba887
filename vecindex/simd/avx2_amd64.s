#include "textflag.h"

// AVX2 and FMA3. The pieces are described in rows_amd64.h; Y7 is the mask.

#define W 32
#define W2 64
#define Q0 Y0
#define Q1 Y1
#define T0 Y2
#define T1 Y3
#define A0 Y8
#define A1 Y9
#define A2 Y10
#define A3 Y11
#define A4 Y12
#define A5 Y13
#define A6 Y14
#define A7 Y15

// Read from 32-4r on, the masks of r floats.
DATA tails<>+0(SB)/8, $0xffffffffffffffff
DATA tails<>+8(SB)/8, $0xffffffffffffffff
DATA tails<>+16(SB)/8, $0xffffffffffffffff
DATA tails<>+24(SB)/8, $0xffffffffffffffff
DATA tails<>+32(SB)/8, $0
DATA tails<>+40(SB)/8, $0
DATA tails<>+48(SB)/8, $0
DATA tails<>+56(SB)/8, $0
GLOBL tails<>(SB), RODATA|NOPTR, $64

#define MASK \
	MOVQ    DX, CX;              \
	ANDQ    $7, CX;              \
	SHLQ    $2, CX;              \
	LEAQ    tails<>+32(SB), AX;  \
	SUBQ    CX, AX;              \
	VMOVUPS (AX), Y7

#define ZERO(v) VPXOR v, v, v
#define LOAD(d, p, v) VMOVUPS d(p)(AX*1), v
#define LOADTAIL(p, v) VMASKMOVPS (p)(AX*1), Y7, v
#define AHEAD(p) PREFETCHT0 (p)(AX*1)

#define FOLD(v, w, vy, vx) \
	VADDPS       w, v, v;   \
	VEXTRACTF128 $1, v, X0; \
	VADDPS       X0, vx, vx

#define TERM(d, p, q, v, t) VFMADD231PS d(p)(AX*1), q, v
#define TERMREG(f, q, v) VFMADD231PS f, q, v

// func dotRowsAVX2(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)
TEXT ·dotRowsAVX2(SB), NOSPLIT, $0-64
#include "rows_amd64.h"

#undef TERM
#undef TERMREG

#define TERM(d, p, q, v, t) \
	VSUBPS      d(p)(AX*1), q, t; \
	VFMADD231PS t, t, v

#define TERMREG(f, q, v) \
	VSUBPS      f, q, f; \
	VFMADD231PS f, f, v

// func l2RowsAVX2(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)
TEXT ·l2RowsAVX2(SB), NOSPLIT, $0-64
#include "rows_amd64.h"
