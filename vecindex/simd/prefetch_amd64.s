#include "textflag.h"

// func Prefetch(p unsafe.Pointer)
TEXT ·Prefetch(SB), NOSPLIT, $0-8
	MOVQ       p+0(FP), AX
	PREFETCHT0 (AX)
	PREFETCHT0 64(AX)
	RET

// func prefetchRows(matrix unsafe.Pointer, stride int, rows *uint32, count int, lines int)
TEXT ·prefetchRows(SB), NOSPLIT, $0-40
	MOVQ matrix+0(FP), SI
	MOVQ stride+8(FP), DX
	MOVQ rows+16(FP), DI
	MOVQ count+24(FP), CX
	MOVQ lines+32(FP), R8

row:
	MOVL  (DI), AX
	IMULQ DX, AX
	ADDQ  SI, AX
	MOVQ  R8, BX

line:
	PREFETCHT0 (AX)
	ADDQ       $64, AX
	DECQ       BX
	JNE        line
	ADDQ       $4, DI
	DECQ       CX
	JNE        row
	RET
