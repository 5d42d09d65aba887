#include "textflag.h"

// AVX2: the sizes of the query's bytes times the row's bytes with the query's signs,
// so that a word has room for two products. The pieces are described in
// int8_amd64.h; Y6 is 1 in each word, Y12 and Y13 the query's line, Y14 and Y15 the
// sizes.

#define A0 Y8
#define A1 Y9
#define A2 Y10
#define A3 Y11

// The second half of a last line without the factors.
DATA codes<>+0(SB)/8, $0xffffffffffffffff
DATA codes<>+8(SB)/8, $0xffffffffffffffff
DATA codes<>+16(SB)/8, $0x00000000ffffffff
DATA codes<>+24(SB)/8, $0
GLOBL codes<>(SB), RODATA|NOPTR, $32

#define CONSTANTS \
	VPCMPEQW Y6, Y6, Y6; \
	VPSRLW   $15, Y6, Y6

#define ZERO(v) VPXOR v, v, v

#define LOAD \
	VMOVDQU (SI)(AX*1), Y12;   \
	VMOVDQU 32(SI)(AX*1), Y13; \
	VPABSB  Y12, Y14;          \
	VPABSB  Y13, Y15

#define LOADLAST \
	VMOVDQU (SI), Y12;              \
	VMOVDQU 32(SI), Y13;            \
	VPAND   codes<>(SB), Y13, Y13; \
	VPABSB  Y12, Y14;               \
	VPABSB  Y13, Y15

#define TERM(p, v) \
	VMOVDQU    (p)(AX*1), Y0;   \
	VMOVDQU    32(p)(AX*1), Y1; \
	VPSIGNB    Y12, Y0, Y0;     \
	VPSIGNB    Y13, Y1, Y1;     \
	VPMADDUBSW Y0, Y14, Y0;     \
	VPMADDUBSW Y1, Y15, Y1;     \
	VPMADDWD   Y6, Y0, Y0;      \
	VPMADDWD   Y6, Y1, Y1;      \
	VPADDD     Y0, v, v;        \
	VPADDD     Y1, v, v

#define FOLD \
	VPHADDD      Y9, Y8, Y8;    \
	VPHADDD      Y11, Y10, Y10; \
	VPHADDD      Y10, Y8, Y8;   \
	VEXTRACTI128 $1, Y8, X0;    \
	VPADDD       X0, X8, X8

#define UNBIAS(lo, hi)

// func int8RowsAVX2(q *byte, n int, matrix *byte, stride int, rows *uint32, count int, out *float32, add, mul float32, ahead int)
TEXT ·int8RowsAVX2(SB), NOSPLIT, $0-72
#include "int8_amd64.h"
