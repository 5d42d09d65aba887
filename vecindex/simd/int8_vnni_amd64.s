#include "textflag.h"

// AVX-512 F and VNNI: a dword gets four products of an unsigned byte of the query
// and a signed one of the row. The pieces are described in int8_amd64.h; Z6 is 128 in
// each byte, K1 the dwords of a last line that aren't factors.

#define A0 Z8
#define A1 Z9
#define A2 Z10
#define A3 Z11

#define CONSTANTS \
	MOVL         $0x80808080, AX; \
	VPBROADCASTD AX, Z6;          \
	MOVL         $0x1FFF, AX;     \
	KMOVW        AX, K1

#define ZERO(v) VPXORD v, v, v
#define LOAD VPXORD (SI)(AX*1), Z6, Z7
#define LOADLAST VPXORD.Z (SI), Z6, K1, Z7
#define TERM(p, v) VPDPBUSD (p)(AX*1), Z7, v

// Two rows are added with their dwords side by side, then two and two, and at last
// the quarters of the register.
#define FOLD \
	VPUNPCKLDQ    Z9, Z8, Z0;   \
	VPUNPCKHDQ    Z9, Z8, Z1;   \
	VPUNPCKLDQ    Z11, Z10, Z2; \
	VPUNPCKHDQ    Z11, Z10, Z3; \
	VPADDD        Z1, Z0, Z0;   \
	VPADDD        Z3, Z2, Z2;   \
	VPUNPCKLQDQ   Z2, Z0, Z1;   \
	VPUNPCKHQDQ   Z2, Z0, Z3;   \
	VPADDD        Z3, Z1, Z0;   \
	VEXTRACTI64X4 $1, Z0, Y1;   \
	VPADDD        Y1, Y0, Y0;   \
	VEXTRACTI128  $1, Y0, X1;   \
	VPADDD        X1, X0, X8

#define UNBIAS(lo, hi) \
	VUNPCKHPD hi, lo, lo; \
	VPSUBD    lo, X8, X8

// func int8RowsVNNI(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)
TEXT ·int8RowsVNNI(SB), NOSPLIT, $0-72
#include "int8_amd64.h"
