#include "textflag.h"

// What codes are made with, for AVX2. The plain-Go twins say what is computed.

// Signs for the upper ones of one, two and four numbers.
DATA signs<>+0(SB)/8, $0x8000000000000000
DATA signs<>+8(SB)/8, $0x8000000000000000
DATA signs<>+16(SB)/8, $0x8000000000000000
DATA signs<>+24(SB)/8, $0x8000000000000000
DATA signs<>+32(SB)/8, $0
DATA signs<>+40(SB)/8, $0x8000000080000000
DATA signs<>+48(SB)/8, $0
DATA signs<>+56(SB)/8, $0x8000000080000000
DATA signs<>+64(SB)/8, $0
DATA signs<>+72(SB)/8, $0
DATA signs<>+80(SB)/8, $0x8000000080000000
DATA signs<>+88(SB)/8, $0x8000000080000000
GLOBL signs<>(SB), RODATA|NOPTR, $96

// WITHIN does the stages of 1, 2 and 4 within a register.
#define WITHIN(v) \
	VPERMILPS  $0xB1, v, Y4;    \
	VXORPS     Y13, v, v;       \
	VADDPS     Y4, v, v;        \
	VPERMILPS  $0x4E, v, Y4;    \
	VXORPS     Y14, v, v;       \
	VADDPS     Y4, v, v;        \
	VPERM2F128 $0x01, v, v, Y4; \
	VXORPS     Y15, v, v;       \
	VADDPS     Y4, v, v

#define BUTTERFLY(a, b, sum, difference) \
	VADDPS b, a, sum; \
	VSUBPS b, a, difference

// func hadamardAVX2(x *float32, n int)
TEXT ·hadamardAVX2(SB), NOSPLIT, $0-16
	MOVQ    x+0(FP), SI
	MOVQ    n+8(FP), DX
	SHLQ    $2, DX
	VMOVUPS signs<>+0(SB), Y13
	VMOVUPS signs<>+32(SB), Y14
	VMOVUPS signs<>+64(SB), Y15

	// The first five stages, 32 numbers at a time.
	MOVQ SI, DI
	LEAQ (SI)(DX*1), R8

first:
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VMOVUPS 64(DI), Y2
	VMOVUPS 96(DI), Y3
	WITHIN(Y0)
	WITHIN(Y1)
	WITHIN(Y2)
	WITHIN(Y3)
	BUTTERFLY(Y0, Y1, Y5, Y6)
	BUTTERFLY(Y2, Y3, Y7, Y8)
	BUTTERFLY(Y5, Y7, Y0, Y2)
	BUTTERFLY(Y6, Y8, Y1, Y3)
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ    $128, DI
	CMPQ    DI, R8
	JLT     first

	// Two stages at a time. AX is the bytes of the half of a block in the first of
	// them, R9 three times that.
	MOVQ $128, AX

stages:
	LEAQ (AX)(AX*1), BX
	CMPQ BX, DX
	JGT  done
	JEQ  lastStage
	LEAQ (AX)(AX*2), R9
	MOVQ SI, DI

block:
	LEAQ (DI)(AX*1), R10

four:
	VMOVUPS (DI), Y0
	VMOVUPS (DI)(AX*1), Y1
	VMOVUPS (DI)(AX*2), Y2
	VMOVUPS (DI)(R9*1), Y3
	BUTTERFLY(Y0, Y1, Y5, Y6)
	BUTTERFLY(Y2, Y3, Y7, Y8)
	BUTTERFLY(Y5, Y7, Y0, Y2)
	BUTTERFLY(Y6, Y8, Y1, Y3)
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, (DI)(AX*1)
	VMOVUPS Y2, (DI)(AX*2)
	VMOVUPS Y3, (DI)(R9*1)
	ADDQ    $32, DI
	CMPQ    DI, R10
	JLT     four
	ADDQ    R9, DI
	CMPQ    DI, R8
	JLT     block
	SHLQ    $2, AX
	JMP     stages

lastStage:
	LEAQ (SI)(AX*1), R10

two:
	VMOVUPS (SI), Y0
	VMOVUPS (SI)(AX*1), Y1
	BUTTERFLY(Y0, Y1, Y2, Y3)
	VMOVUPS Y2, (SI)
	VMOVUPS Y3, (SI)(AX*1)
	ADDQ    $32, SI
	CMPQ    SI, R10
	JLT     two

done:
	VZEROUPPER
	RET

// func butterflyAVX2(a, b *float32, n int)
TEXT ·butterflyAVX2(SB), NOSPLIT, $0-24
	MOVQ a+0(FP), SI
	MOVQ b+8(FP), DI
	MOVQ n+16(FP), DX

next:
	VMOVUPS (SI), Y0
	VMOVUPS (DI), Y1
	BUTTERFLY(Y0, Y1, Y2, Y3)
	VMOVUPS Y2, (SI)
	VMOVUPS Y3, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	SUBQ    $8, DX
	JNE     next
	VZEROUPPER
	RET

// func multiplyAVX2(dst, a, b *float32, n int)
TEXT ·multiplyAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ n+24(FP), DX

next:
	VMOVUPS (SI), Y0
	VMULPS  (BX), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, BX
	ADDQ    $32, DI
	SUBQ    $8, DX
	JNE     next
	VZEROUPPER
	RET

// func largestAVX2(x *float32, n int) float32
TEXT ·largestAVX2(SB), NOSPLIT, $0-20
	MOVQ     x+0(FP), SI
	MOVQ     n+8(FP), DX
	VPCMPEQD Y15, Y15, Y15
	VPSRLD   $1, Y15, Y15   // all but the sign
	VXORPS   Y0, Y0, Y0
	VXORPS   Y1, Y1, Y1

next:
	VANDPS  (SI), Y15, Y2
	VANDPS  32(SI), Y15, Y3
	VMAXPS  Y2, Y0, Y0
	VMAXPS  Y3, Y1, Y1
	ADDQ    $64, SI
	SUBQ    $16, DX
	JNE     next
	VMAXPS  Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS  X1, X0, X0
	VPERMILPS $0x4E, X0, X1
	VMAXPS  X1, X0, X0
	VPERMILPS $0xB1, X0, X1
	VMAXPS  X1, X0, X0
	VMOVSS  X0, ret+16(FP)
	VZEROUPPER
	RET

// SUM adds 8 lanes of v and 8 of w, halves to halves; vx is v's low half.
#define SUM(v, w, vx) \
	VADDPS       w, v, v;       \
	VEXTRACTF128 $1, v, X0;     \
	VADDPS       X0, vx, vx;    \
	VPERMILPS    $0x4E, vx, X0; \
	VADDPS       X0, vx, vx;    \
	VPERMILPS    $0xB1, vx, X0; \
	VADDPS       X0, vx, vx

// func codesAVX2(codes *byte, x *float32, n int, steps float32) (norm2, product float32, sum int32)
TEXT ·codesAVX2(SB), NOSPLIT, $0-44
	MOVQ         codes+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         n+16(FP), DX
	VBROADCASTSS steps+24(FP), Y15
	VXORPS       Y8, Y8, Y8
	VXORPS       Y9, Y9, Y9
	VXORPS       Y10, Y10, Y10
	VXORPS       Y11, Y11, Y11
	VPXOR        Y12, Y12, Y12

next:
	VMULPS     (SI), Y15, Y0
	VMULPS     32(SI), Y15, Y1
	VCVTPS2DQ  Y0, Y2
	VCVTPS2DQ  Y1, Y3
	VPACKSSDW  Y3, Y2, Y4
	VPERMQ     $0xD8, Y4, Y4
	VEXTRACTI128 $1, Y4, X5
	VPACKSSWB  X5, X4, X4
	VMOVDQU    X4, (DI)
	VPADDD     Y2, Y12, Y12
	VPADDD     Y3, Y12, Y12
	VCVTDQ2PS  Y2, Y2
	VCVTDQ2PS  Y3, Y3
	VMULPS     Y0, Y2, Y2
	VMULPS     Y1, Y3, Y3
	VMULPS     Y0, Y0, Y0
	VMULPS     Y1, Y1, Y1
	VADDPS     Y0, Y8, Y8
	VADDPS     Y1, Y9, Y9
	VADDPS     Y2, Y10, Y10
	VADDPS     Y3, Y11, Y11
	ADDQ       $64, SI
	ADDQ       $16, DI
	SUBQ       $16, DX
	JNE        next
	SUM(Y8, Y9, X8)
	SUM(Y10, Y11, X10)
	VMOVSS     X8, norm2+32(FP)
	VMOVSS     X10, product+36(FP)
	VEXTRACTI128 $1, Y12, X0
	VPADDD     X0, X12, X12
	VPHADDD    X12, X12, X12
	VPHADDD    X12, X12, X12
	VMOVD      X12, AX
	MOVL       AX, sum+40(FP)
	VZEROUPPER
	RET
