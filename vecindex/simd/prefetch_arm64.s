#include "textflag.h"

// func Prefetch(p unsafe.Pointer)
TEXT ·Prefetch(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL1KEEP
	PRFM 64(R0), PLDL1KEEP
	RET

// func prefetchRows(matrix unsafe.Pointer, stride int, rows *uint32, count int, lines int)
TEXT ·prefetchRows(SB), NOSPLIT, $0-40
	MOVD matrix+0(FP), R0
	MOVD stride+8(FP), R1
	MOVD rows+16(FP), R2
	MOVD count+24(FP), R3
	MOVD lines+32(FP), R4

row:
	MOVWU.P 4(R2), R5
	MADD    R1, R0, R5, R5
	MOVD    R4, R6

line:
	PRFM (R5), PLDL1KEEP
	ADD  $64, R5
	SUBS $1, R6
	BNE  line
	SUBS $1, R3
	BNE  row
	RET
