#include "textflag.h"

// AVX-512 F. The pieces are described in rows_amd64.h.

#define W 64
#define W2 128
#define Q0 Z0
#define Q1 Z1
#define T0 Z2
#define T1 Z3
#define A0 Z8
#define A1 Z9
#define A2 Z10
#define A3 Z11
#define A4 Z12
#define A5 Z13
#define A6 Z14
#define A7 Z15

#define MASK \
	MOVQ  DX, CX;  \
	ANDQ  $15, CX; \
	MOVL  $1, AX;  \
	SHLL  CX, AX;  \
	DECL  AX;      \
	KMOVW AX, K1

#define ZERO(v) VPXORQ v, v, v
#define LOAD(d, p, v) VMOVUPS d(p)(AX*1), v
#define LOADTAIL(p, v) VMOVUPS.Z (p)(AX*1), K1, v

#define AHEAD(p) \
	PREFETCHT0 (p)(AX*1); \
	PREFETCHT0 64(p)(AX*1)

#define FOLD(v, w, vy, vx) \
	VADDPS        w, v, v;    \
	VEXTRACTF64X4 $1, v, Y0;  \
	VADDPS        Y0, vy, vy; \
	VEXTRACTF128  $1, vy, X0; \
	VADDPS        X0, vx, vx

#define TERM(d, p, q, v, t) VFMADD231PS d(p)(AX*1), q, v
#define TERMREG(f, q, v) VFMADD231PS f, q, v

// func dotRowsAVX512(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)
TEXT ·dotRowsAVX512(SB), NOSPLIT, $0-64
#include "rows_amd64.h"

#undef TERM
#undef TERMREG

#define TERM(d, p, q, v, t) \
	VSUBPS      d(p)(AX*1), q, t; \
	VFMADD231PS t, t, v

#define TERMREG(f, q, v) \
	VSUBPS      f, q, f; \
	VFMADD231PS f, f, v

// func l2RowsAVX512(q *float32, n int, matrix *float32, stride int, rows *uint32, count int, out *float32, ahead int)
TEXT ·l2RowsAVX512(SB), NOSPLIT, $0-64
#include "rows_amd64.h"
