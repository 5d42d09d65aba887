#include "textflag.h"

// What codes are made with, for NEON. The plain-Go twins say what is computed.

// As in rows_arm64.h, encodings of the Arm A-profile A64 instruction set.
#define FADD4(m, n, d) WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d))
#define FSUB4(m, n, d) WORD $(0x4EA0D400 | (m)<<16 | (n)<<5 | (d))
#define FMUL4(m, n, d) WORD $(0x6E20DC00 | (m)<<16 | (n)<<5 | (d))
#define FADDP4(m, n, d) WORD $(0x6E20D400 | (m)<<16 | (n)<<5 | (d))
#define FABS4(n, d) WORD $(0x4EA0F800 | (n)<<5 | (d))
#define FMAX4(m, n, d) WORD $(0x4E20F400 | (m)<<16 | (n)<<5 | (d))
#define FMAXV4(n, d) WORD $(0x6E30F800 | (n)<<5 | (d))
#define FCVTNS4(n, d) WORD $(0x4E21A800 | (n)<<5 | (d))
#define SCVTF4(n, d) WORD $(0x4E21D800 | (n)<<5 | (d))

#define BUTTERFLY(a, b, sum, difference) \
	FADD4(b, a, sum); \
	FSUB4(b, a, difference)

#define TWOSTAGES \
	BUTTERFLY(0, 1, 4, 5); \
	BUTTERFLY(2, 3, 6, 7); \
	BUTTERFLY(4, 6, 0, 2); \
	BUTTERFLY(5, 7, 1, 3)

// func hadamardNEON(x *float32, n int)
TEXT ·hadamardNEON(SB), NOSPLIT, $0-16
	MOVD x+0(FP), R0
	MOVD n+8(FP), R1
	LSL  $2, R1, R1
	ADD  R0, R1, R2

	// The first two stages: every fourth number in a register.
	MOVD R0, R4

first:
	VLD4   (R4), [V0.S4, V1.S4, V2.S4, V3.S4]
	TWOSTAGES
	VST4.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R4)
	CMP    R2, R4
	BLT    first

	// Two stages at a time; R3 is the bytes of the half of a block in the first of
	// them, R4-R7 are places in its quarters.
	MOVD $16, R3

stages:
	LSL  $1, R3, R8
	CMP  R1, R8
	BGT  done
	BEQ  lastStage
	MOVD R0, R4

block:
	ADD R3, R4, R5
	ADD R3, R5, R6
	ADD R3, R6, R7
	MOVD R5, R9

four:
	VLD1   (R4), [V0.S4]
	VLD1   (R5), [V1.S4]
	VLD1   (R6), [V2.S4]
	VLD1   (R7), [V3.S4]
	TWOSTAGES
	VST1.P [V0.S4], 16(R4)
	VST1.P [V1.S4], 16(R5)
	VST1.P [V2.S4], 16(R6)
	VST1.P [V3.S4], 16(R7)
	CMP    R9, R4
	BLT    four
	MOVD   R7, R4
	CMP    R2, R4
	BLT    block
	LSL    $2, R3, R3
	B      stages

lastStage:
	ADD R0, R3, R5

two:
	VLD1   (R0), [V0.S4]
	VLD1   (R5), [V1.S4]
	BUTTERFLY(0, 1, 2, 3)
	VST1.P [V2.S4], 16(R0)
	VST1.P [V3.S4], 16(R5)
	CMP    R2, R5
	BLT    two

done:
	RET

// func butterflyNEON(a, b *float32, n int)
TEXT ·butterflyNEON(SB), NOSPLIT, $0-24
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	MOVD n+16(FP), R2

next:
	VLD1   (R0), [V0.S4, V1.S4]
	VLD1   (R1), [V2.S4, V3.S4]
	BUTTERFLY(0, 2, 4, 6)
	BUTTERFLY(1, 3, 5, 7)
	VST1.P [V4.S4, V5.S4], 32(R0)
	VST1.P [V6.S4, V7.S4], 32(R1)
	SUBS   $8, R2, R2
	BNE    next
	RET

// func multiplyNEON(dst, a, b *float32, n int)
TEXT ·multiplyNEON(SB), NOSPLIT, $0-32
	MOVD dst+0(FP), R0
	MOVD a+8(FP), R1
	MOVD b+16(FP), R2
	MOVD n+24(FP), R3

next:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	VLD1.P 32(R2), [V2.S4, V3.S4]
	FMUL4(2, 0, 0)
	FMUL4(3, 1, 1)
	VST1.P [V0.S4, V1.S4], 32(R0)
	SUBS   $8, R3, R3
	BNE    next
	RET

// func largestNEON(x *float32, n int) float32
TEXT ·largestNEON(SB), NOSPLIT, $0-20
	MOVD x+0(FP), R0
	MOVD n+8(FP), R1
	VEOR V8.B16, V8.B16, V8.B16
	VEOR V9.B16, V9.B16, V9.B16

next:
	VLD1.P 64(R0), [V0.S4, V1.S4, V2.S4, V3.S4]
	FABS4(0, 0)
	FABS4(1, 1)
	FABS4(2, 2)
	FABS4(3, 3)
	FMAX4(1, 0, 0)
	FMAX4(3, 2, 2)
	FMAX4(0, 8, 8)
	FMAX4(2, 9, 9)
	SUBS   $16, R1, R1
	BNE    next
	FMAX4(9, 8, 8)
	FMAXV4(8, 8)
	FMOVS  F8, ret+16(FP)
	RET

// LANES adds a code's or a number's part of the sums: of register y times itself to
// squares, and times register code, which becomes floats, to products.
#define LANES(y, code, squares, products) \
	SCVTF4(code, code);            \
	FMUL4(code, y, code);          \
	FMUL4(y, y, y);                \
	FADD4(code, products, products); \
	FADD4(y, squares, squares)

// SUM adds the 16 lanes of four registers, halves to halves.
#define SUM(a, b, c, d, va) \
	FADD4(c, a, a);                \
	FADD4(d, b, b);                \
	FADD4(b, a, a);                \
	VEXT $8, va, va, V0.B16;       \
	FADD4(0, a, a);                \
	FADDP4(a, a, a)

// func codesNEON(codes *byte, x *float32, n int, steps float32) (norm2, product float32, sum int32)
TEXT ·codesNEON(SB), NOSPLIT, $0-44
	MOVD  codes+0(FP), R0
	MOVD  x+8(FP), R1
	MOVD  n+16(FP), R2
	FMOVS steps+24(FP), F30
	VDUP  V30.S[0], V30.S4
	VEOR  V16.B16, V16.B16, V16.B16
	VEOR  V17.B16, V17.B16, V17.B16
	VEOR  V18.B16, V18.B16, V18.B16
	VEOR  V19.B16, V19.B16, V19.B16
	VEOR  V20.B16, V20.B16, V20.B16
	VEOR  V21.B16, V21.B16, V21.B16
	VEOR  V22.B16, V22.B16, V22.B16
	VEOR  V23.B16, V23.B16, V23.B16
	VEOR  V24.B16, V24.B16, V24.B16

next:
	VLD1.P 64(R1), [V0.S4, V1.S4, V2.S4, V3.S4]
	FMUL4(30, 0, 0)
	FMUL4(30, 1, 1)
	FMUL4(30, 2, 2)
	FMUL4(30, 3, 3)
	FCVTNS4(0, 4)
	FCVTNS4(1, 5)
	FCVTNS4(2, 6)
	FCVTNS4(3, 7)
	VUZP1  V5.H8, V4.H8, V26.H8
	VUZP1  V7.H8, V6.H8, V27.H8
	VUZP1  V27.B16, V26.B16, V26.B16
	VST1.P [V26.B16], 16(R0)
	VADD   V4.S4, V24.S4, V24.S4
	VADD   V5.S4, V24.S4, V24.S4
	VADD   V6.S4, V24.S4, V24.S4
	VADD   V7.S4, V24.S4, V24.S4
	LANES(0, 4, 16, 20)
	LANES(1, 5, 17, 21)
	LANES(2, 6, 18, 22)
	LANES(3, 7, 19, 23)
	SUBS   $16, R2, R2
	BNE    next
	SUM(16, 17, 18, 19, V16.B16)
	SUM(20, 21, 22, 23, V20.B16)
	VADDV  V24.S4, V24
	FMOVS  F16, norm2+32(FP)
	FMOVS  F20, product+36(FP)
	FMOVS  F24, sum+40(FP)
	RET
