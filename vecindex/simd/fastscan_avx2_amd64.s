#include "textflag.h"

// AVX2 and FMA3. See fastscan.go for the layout.

// Where byte g of a word is looked up: elsewhere the highest bit says nowhere.
DATA fastScanPlaces<>+0(SB)/8, $0x8080800080808000
DATA fastScanPlaces<>+8(SB)/8, $0x8080800080808000
DATA fastScanPlaces<>+16(SB)/8, $0x8080800080808000
DATA fastScanPlaces<>+24(SB)/8, $0x8080800080808000
DATA fastScanPlaces<>+32(SB)/8, $0x8080008080800080
DATA fastScanPlaces<>+40(SB)/8, $0x8080008080800080
DATA fastScanPlaces<>+48(SB)/8, $0x8080008080800080
DATA fastScanPlaces<>+56(SB)/8, $0x8080008080800080
DATA fastScanPlaces<>+64(SB)/8, $0x8000808080008080
DATA fastScanPlaces<>+72(SB)/8, $0x8000808080008080
DATA fastScanPlaces<>+80(SB)/8, $0x8000808080008080
DATA fastScanPlaces<>+88(SB)/8, $0x8000808080008080
DATA fastScanPlaces<>+96(SB)/8, $0x0080808000808080
DATA fastScanPlaces<>+104(SB)/8, $0x0080808000808080
DATA fastScanPlaces<>+112(SB)/8, $0x0080808000808080
DATA fastScanPlaces<>+120(SB)/8, $0x0080808000808080
GLOBL fastScanPlaces<>(SB), RODATA|NOPTR, $128

// The bits of the numbers 0 to 15: for each the lower two as bytes, then the upper two.
DATA fastScanBits<>+0(SB)/8, $0x0101010000010000
DATA fastScanBits<>+8(SB)/8, $0x0101010000010000
DATA fastScanBits<>+16(SB)/8, $0x0101010000010000
DATA fastScanBits<>+24(SB)/8, $0x0101010000010000
DATA fastScanBits<>+32(SB)/8, $0x0000000000000000
DATA fastScanBits<>+40(SB)/8, $0x0001000100010001
DATA fastScanBits<>+48(SB)/8, $0x0100010001000100
DATA fastScanBits<>+56(SB)/8, $0x0101010101010101
GLOBL fastScanBits<>(SB), RODATA|NOPTR, $64

// Eight floats each: all bits but the sign, 0.5, and 1.
DATA fastScanFloats<>+0(SB)/8, $0x7fffffff7fffffff
DATA fastScanFloats<>+8(SB)/8, $0x7fffffff7fffffff
DATA fastScanFloats<>+16(SB)/8, $0x7fffffff7fffffff
DATA fastScanFloats<>+24(SB)/8, $0x7fffffff7fffffff
DATA fastScanFloats<>+32(SB)/8, $0x3f0000003f000000
DATA fastScanFloats<>+40(SB)/8, $0x3f0000003f000000
DATA fastScanFloats<>+48(SB)/8, $0x3f0000003f000000
DATA fastScanFloats<>+56(SB)/8, $0x3f0000003f000000
DATA fastScanFloats<>+64(SB)/8, $0x3f8000003f800000
DATA fastScanFloats<>+72(SB)/8, $0x3f8000003f800000
DATA fastScanFloats<>+80(SB)/8, $0x3f8000003f800000
DATA fastScanFloats<>+88(SB)/8, $0x3f8000003f800000
GLOBL fastScanFloats<>(SB), RODATA|NOPTR, $96

// A half of a chunk at d of the codes: the words of eight slots, and of the eight
// slots 16 later.
#define LOOKUP(d, lower, upper) \
	VMOVDQU    d(R11), Y0;  \
	VPSRLW     $4, Y0, Y1;  \
	VPAND      Y12, Y0, Y0; \
	VPAND      Y12, Y1, Y1; \
	SUMS(Y0, lower);        \
	SUMS(Y1, upper)

#define SUMS(v, sum) \
	VPOR       fastScanPlaces<>+0(SB), v, Y2;  \
	VPSHUFB    Y2, Y8, Y2;                     \
	VPOR       fastScanPlaces<>+32(SB), v, Y3; \
	VPSHUFB    Y3, Y9, Y3;                     \
	VPOR       Y3, Y2, Y2;                     \
	VPOR       fastScanPlaces<>+64(SB), v, Y3; \
	VPSHUFB    Y3, Y10, Y3;                    \
	VPOR       Y3, Y2, Y2;                     \
	VPOR       fastScanPlaces<>+96(SB), v, Y3; \
	VPSHUFB    Y3, Y11, Y3;                    \
	VPOR       Y3, Y2, Y2;                     \
	VPMADDUBSW Y13, Y2, Y2;                    \
	VPMADDWD   Y14, Y2, Y2;                    \
	VPADDD     Y2, sum, sum

// RESULT makes the estimates of eight slots of their sums, and their bits in to.
#define RESULT(sum, at, to) \
	VCVTDQ2PS    sum, sum;          \
	VFMADD213PS  Y9, Y8, sum;       \
	VMOVAPS      Y10, Y1;           \
	VFMADD231PS  at(DI), Y11, Y1;   \
	VFMADD231PS  128+at(DI), sum, Y1; \
	VMOVUPS      Y1, at(R10);       \
	VCMPPS       $17, Y12, Y1, Y1;  \
	VMOVMSKPS    Y1, to

// func scanAVX2(tables *byte, chunks, bits int, block, ahead *uint32, f *scanFactors, out *float32) uint32
TEXT ·scanAVX2(SB), NOSPLIT, $0-60
	MOVQ         tables+0(FP), SI
	MOVQ         chunks+8(FP), CX
	MOVQ         bits+16(FP), DX
	MOVQ         block+24(FP), DI
	MOVQ         ahead+32(FP), R8
	MOVQ         f+40(FP), R9
	PREFETCHT0   (R8)
	PREFETCHT0   64(R8)
	PREFETCHT0   128(R8)
	PREFETCHT0   192(R8)
	ADDQ         $256, R8
	LEAQ         256(DI), R11
	VPXOR        Y4, Y4, Y4
	VPXOR        Y5, Y5, Y5
	VPXOR        Y6, Y6, Y6
	VPXOR        Y7, Y7, Y7
	MOVL         $0x0F0F0F0F, AX
	VMOVD        AX, X12
	VPBROADCASTD X12, Y12
	MOVL         $0x01010101, AX
	VMOVD        AX, X13
	VPBROADCASTD X13, Y13
	MOVL         $0x00010001, AX
	VMOVD        AX, X14
	VPBROADCASTD X14, Y14

bit:
	MOVQ SI, BX
	MOVQ CX, AX

chunk:
	VBROADCASTI128 (BX), Y8
	VBROADCASTI128 16(BX), Y9
	VBROADCASTI128 32(BX), Y10
	VBROADCASTI128 48(BX), Y11
	PREFETCHT0     (R8)
	LOOKUP(0, Y4, Y6)
	LOOKUP(32, Y5, Y7)
	ADDQ           $64, R11
	ADDQ           $64, R8
	ADDQ           $64, BX
	DECQ           AX
	JNZ            chunk
	VPADDW         Y14, Y14, Y14
	DECQ           DX
	JNZ            bit

	MOVQ         out+48(FP), R10
	VBROADCASTSS 0(R9), Y10
	VBROADCASTSS 4(R9), Y11
	VBROADCASTSS 8(R9), Y8
	VBROADCASTSS 12(R9), Y9
	VBROADCASTSS 16(R9), Y12
	RESULT(Y4, 0, AX)
	RESULT(Y5, 32, BX)
	RESULT(Y6, 64, CX)
	RESULT(Y7, 96, DX)
	SHLL         $8, BX
	SHLL         $16, CX
	SHLL         $24, DX
	ORL          BX, AX
	ORL          CX, AX
	ORL          DX, AX
	MOVL         AX, ret+56(FP)
	VZEROUPPER
	RET

// func tablesAVX2(tables, codes *byte, n int) int
TEXT ·tablesAVX2(SB), NOSPLIT, $0-32
	MOVQ    tables+0(FP), DI
	MOVQ    codes+8(FP), SI
	MOVQ    n+16(FP), CX
	VMOVDQU fastScanBits<>+0(SB), Y8
	VMOVDQU fastScanBits<>+32(SB), Y9
	VPXOR   Y10, Y10, Y10
	VPXOR   Y12, Y12, Y12 // the sizes
	MOVL    $0x80008000, AX
	VMOVD   AX, X11
	VPBROADCASTD X11, Y11
	XORL    AX, AX

four:
	VPBROADCASTW (SI)(AX*1), Y0
	VPBROADCASTW 2(SI)(AX*1), Y1
	VPMADDUBSW   Y0, Y8, Y2
	VPMADDUBSW   Y1, Y9, Y3
	VPADDW       Y3, Y2, Y2
	VEXTRACTI128 $1, Y2, X3
	VPMINSW      X3, X2, X3
	VPXOR        X11, X3, X3 // so that the smallest is the smallest unsigned
	VPHMINPOSUW  X3, X3
	VPBROADCASTW X3, Y3
	VPXOR        Y11, Y3, Y3
	VPSUBW       Y3, Y2, Y2
	VPAVGW       Y10, Y2, Y2
	VEXTRACTI128 $1, Y2, X3
	VPACKUSWB    X3, X2, X2
	VMOVDQU      X2, (DI)(AX*4)
	ADDQ         $4, AX
	CMPQ         AX, CX
	JLT          four

	XORL AX, AX

sixteen:
	VPABSB  (SI)(AX*1), X0
	VPSADBW X10, X0, X0
	VPADDQ  X0, X12, X12
	ADDQ    $16, AX
	CMPQ    AX, CX
	JLT     sixteen
	VPSRLDQ $8, X12, X0
	VPADDQ  X0, X12, X12
	VMOVQ   X12, AX
	MOVQ    AX, ret+24(FP)
	VZEROUPPER
	RET

// EIGHT is eight coordinates at d of the codes. Y0 is r and then its sign, Y1 is c,
// Y2 the size of r and Y3 that of u. The signs of r go to AX, what is far to BX.
#define EIGHT(d, rr, cr, ur, uc) \
	VPMOVSXBD d(SI), Y0;                       \
	VPMOVSXBD d(DI), Y1;                       \
	VCVTDQ2PS Y0, Y0;                          \
	VCVTDQ2PS Y1, Y1;                          \
	VMULPS    Y4, Y0, Y0;                      \
	VMULPS    Y5, Y1, Y1;                      \
	VSUBPS    Y1, Y0, Y0;                      \
	VMULPS    Y0, Y0, Y2;                      \
	VADDPS    Y2, rr, rr;                      \
	VMULPS    Y0, Y1, Y2;                      \
	VADDPS    Y2, cr, cr;                      \
	VMOVMSKPS Y0, AX;                          \
	VANDPS    fastScanFloats<>+0(SB), Y0, Y2;  \
	VXORPS    Y2, Y0, Y0;                      \
	VCMPPS    $13, Y6, Y2, Y3;                 \
	VMOVMSKPS Y3, BX;                          \
	VANDPS    fastScanFloats<>+64(SB), Y3, Y3; \
	VADDPS    fastScanFloats<>+32(SB), Y3, Y3; \
	VMULPS    Y3, Y2, Y2;                      \
	VADDPS    Y2, ur, ur;                      \
	VXORPS    Y0, Y3, Y3;                      \
	VMULPS    Y3, Y1, Y1;                      \
	VADDPS    Y1, uc, uc

// FOLD leaves the sum of all lanes of two registers in the lowest of vx.
#define FOLD(v, w, vx) \
	VADDPS       w, v, v;    \
	VEXTRACTF128 $1, v, X0;  \
	VADDPS       X0, vx, vx; \
	VMOVHLPS     vx, vx, X0; \
	VADDPS       X0, vx, vx; \
	VMOVSHDUP    vx, X0;     \
	VADDSS       X0, vx, vx

// func residualAVX2(positive, far *uint16, x, c *byte, chunks int, xScale, cScale, reach float32, sums *ResidualSums)
TEXT ·residualAVX2(SB), NOSPLIT, $0-64
	MOVQ         positive+0(FP), R8
	MOVQ         far+8(FP), R9
	MOVQ         x+16(FP), SI
	MOVQ         c+24(FP), DI
	MOVQ         chunks+32(FP), CX
	VBROADCASTSS xScale+40(FP), Y4
	VBROADCASTSS cScale+44(FP), Y5
	VBROADCASTSS reach+48(FP), Y6
	VXORPS       Y8, Y8, Y8
	VXORPS       Y9, Y9, Y9
	VXORPS       Y10, Y10, Y10
	VXORPS       Y11, Y11, Y11
	VXORPS       Y12, Y12, Y12
	VXORPS       Y13, Y13, Y13
	VXORPS       Y14, Y14, Y14
	VXORPS       Y15, Y15, Y15

sixteen:
	EIGHT(0, Y8, Y10, Y12, Y14)
	NOTL AX
	MOVB AX, (R8)
	MOVB BX, (R9)
	EIGHT(8, Y9, Y11, Y13, Y15)
	NOTL AX
	MOVB AX, 1(R8)
	MOVB BX, 1(R9)
	ADDQ $2, R8
	ADDQ $2, R9
	ADDQ $16, SI
	ADDQ $16, DI
	DECQ CX
	JNZ  sixteen

	MOVQ   sums+56(FP), R10
	FOLD(Y8, Y9, X8)
	FOLD(Y10, Y11, X10)
	FOLD(Y12, Y13, X12)
	FOLD(Y14, Y15, X14)
	VMOVSS X8, 0(R10)
	VMOVSS X10, 4(R10)
	VMOVSS X12, 8(R10)
	VMOVSS X14, 12(R10)
	VZEROUPPER
	RET
