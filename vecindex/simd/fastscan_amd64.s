#include "textflag.h"

// func setCodes(words *uint32, codes *uint16, n, shift int)
TEXT ·setCodes(SB), NOSPLIT, $0-32
	MOVQ words+0(FP), DI
	MOVQ codes+8(FP), SI
	MOVQ n+16(FP), DX
	MOVQ shift+24(FP), CX
	MOVL $0xF0F0F0F0, R8 // what stays of a word
	ROLL CX, R8

chunk:
	MOVWLZX (SI), AX
	MOVL    AX, BX
	SHLL    $8, BX
	ORL     BX, AX
	ANDL    $0x00FF00FF, AX
	MOVL    AX, BX
	SHLL    $4, BX
	ORL     BX, AX
	ANDL    $0x0F0F0F0F, AX
	SHLL    CX, AX
	MOVL    (DI), BX
	ANDL    R8, BX
	ORL     BX, AX
	MOVL    AX, (DI)
	ADDQ    $2, SI
	ADDQ    $64, DI
	DECQ    DX
	JNZ     chunk
	RET
