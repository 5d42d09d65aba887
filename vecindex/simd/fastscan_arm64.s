#include "textflag.h"

// NEON: 16 lookups in the 64 bytes of a chunk's tables at once. See fastscan.go for the
// layout. Instructions that the assembler doesn't know are spelled out.
#define UADDLP_8H(n, d) WORD $(0x6E202800 | (n)<<5 | (d))        // d.8H = pairs of bytes of n, added
#define USHL_8H(m, n, d) WORD $(0x6E604400 | (m)<<16 | (n)<<5 | (d)) // d.8H = n shifted left by m
#define UADALP_4S(n, d) WORD $(0x6E606800 | (n)<<5 | (d))        // d.4S += pairs of 16 bits of n

// QUARTER is four slots, whose words are next, and the four 16 later. V20 is 15 in each
// byte, V21 16 times the place of a byte in its word, V22 the number of the bit.
#define QUARTER(lower, upper) \
	VLD1.P 16(R3), [V0.B16];                                       \
	VUSHR  $4, V0.B16, V1.B16;                                     \
	VAND   V20.B16, V0.B16, V0.B16;                                \
	VORR   V21.B16, V0.B16, V0.B16;                                \
	VORR   V21.B16, V1.B16, V1.B16;                                \
	VTBL   V0.B16, [V16.B16, V17.B16, V18.B16, V19.B16], V2.B16;   \
	VTBL   V1.B16, [V16.B16, V17.B16, V18.B16, V19.B16], V3.B16;   \
	UADDLP_8H(2, 2);                                               \
	UADDLP_8H(3, 3);                                               \
	USHL_8H(22, 2, 2);                                             \
	USHL_8H(22, 3, 3);                                             \
	UADALP_4S(2, lower);                                           \
	UADALP_4S(3, upper)

// func sumsNEON(tables *byte, chunks, bits int, codes, ahead *uint32, sums *uint32)
TEXT ·sumsNEON(SB), NOSPLIT, $0-48
	MOVD  tables+0(FP), R0
	MOVD  chunks+8(FP), R1
	MOVD  bits+16(FP), R2
	MOVD  codes+24(FP), R3
	MOVD  ahead+32(FP), R4
	MOVD  sums+40(FP), R5
	MOVD  $0x0F0F0F0F0F0F0F0F, R6
	VDUP  R6, V20.D2
	MOVD  $0x3020100030201000, R6
	VDUP  R6, V21.D2
	MOVD  $0x0001000100010001, R6
	VDUP  R6, V23.D2
	VEOR  V22.B16, V22.B16, V22.B16
	VEOR  V24.B16, V24.B16, V24.B16
	VEOR  V25.B16, V25.B16, V25.B16
	VEOR  V26.B16, V26.B16, V26.B16
	VEOR  V27.B16, V27.B16, V27.B16
	VEOR  V28.B16, V28.B16, V28.B16
	VEOR  V29.B16, V29.B16, V29.B16
	VEOR  V30.B16, V30.B16, V30.B16
	VEOR  V31.B16, V31.B16, V31.B16

bit:
	MOVD R0, R7
	MOVD R1, R8

chunk:
	VLD1.P 64(R7), [V16.B16, V17.B16, V18.B16, V19.B16]
	PRFM   (R4), PLDL1KEEP
	ADD    $64, R4
	QUARTER(24, 28)
	QUARTER(25, 29)
	QUARTER(26, 30)
	QUARTER(27, 31)
	SUBS   $1, R8
	BNE    chunk
	VADD   V23.H8, V22.H8, V22.H8
	SUBS   $1, R2
	BNE    bit

	VST1.P [V24.B16, V25.B16, V26.B16, V27.B16], 64(R5)
	VST1   [V28.B16, V29.B16, V30.B16, V31.B16], (R5)
	RET
