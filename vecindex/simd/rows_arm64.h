// The body of a NEON row kernel, the same for dot and l2. The plan is that of
// rows_amd64.h: the first rows of a list prefetched at once, four rows at a time with
// two sums each and four more prefetched, the rest singly with the same sums in the
// same order.
//
//	R0 R1           query, and its length in floats
//	R2 R3           matrix, and the bytes between rows
//	R4 R5 R6        row numbers, how many are left, where the scores go
//	R8-R11          places in the four rows
//	R12-R15         places in the four rows asked for, or in the query if there are none
//	R17             how many rows ahead is asked
//	R19 R20         place in the query, and how many floats are left
//	V0-V3 V4-V7     parts of the query and of a row
//	V16-V23         the sums: two per row
//
// The pieces:
//	TERM(f, q, v)       register v += term(q, f), by register numbers; f may be overwritten
//	TERMONE(f, q, v)    F register v += term(q, f); f may be overwritten

#define ROW(index, p) \
	MOVWU index, R7; \
	MADD  R3, R2, R7, p

// SOMEROW is row R17+i of the list, counted from 1, or its last row.
#define SOMEROW(i, p) \
	ADD   $i, R17, R16;     \
	CMP   R5, R16;          \
	CSEL  LT, R16, R5, R16; \
	SUB   $1, R16, R16;     \
	MOVWU (R4)(R16<<2), R7; \
	MADD  R3, R2, R7, p

#define SIXTEEN(p, v, w) \
	VLD1.P 64(p), [V4.S4, V5.S4, V6.S4, V7.S4]; \
	TERM(4, 0, v); \
	TERM(5, 1, w); \
	TERM(6, 2, v); \
	TERM(7, 3, w)

#define FOUR(p, v) \
	VLD1.P 16(p), [V4.S4]; \
	TERM(4, 0, v)

#define AHEAD(p) \
	PRFM (p), PLDL1KEEP; \
	ADD  $64, p, p

// Instructions on four floats by register number, since a macro can't make a name
// of a number, and the assembler has no names for FADD, FSUB (d = n - m) and FADDP
// anyway. The encodings are those of the Arm A-profile A64 instruction set.
#define FMLA4(m, n, d) WORD $(0x4E20CC00 | (m)<<16 | (n)<<5 | (d))
#define FADD4(m, n, d) WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d))
#define FSUB4(m, n, d) WORD $(0x4EA0D400 | (m)<<16 | (n)<<5 | (d))
#define FADDP4(m, n, d) WORD $(0x6E20D400 | (m)<<16 | (n)<<5 | (d))

#define FOLD(v, w) \
	FADD4(w, v, v);  \
	FADDP4(v, v, v); \
	FADDP4(v, v, v)

	MOVD q+0(FP), R0
	MOVD n+8(FP), R1
	MOVD matrix+16(FP), R2
	MOVD stride+24(FP), R3
	MOVD rows+32(FP), R4
	MOVD count+40(FP), R5
	MOVD out+48(FP), R6
	MOVD ahead+56(FP), R17
	LSL  $2, R3, R3
	CMP  $4, R5
	BLT  single

	// The rows of the start, whole.
	CMP  R5, R17
	CSEL LT, R17, R5, R16
	MOVD ZR, R19

start:
	ROW((R4)(R19<<2), R8)
	MOVD R1, R20

startLine:
	AHEAD(R8)
	SUBS $16, R20, R20
	BGT  startLine
	ADD  $1, R19, R19
	CMP  R16, R19
	BLT  start

four:
	ROW(0(R4), R8)
	ROW(4(R4), R9)
	ROW(8(R4), R10)
	ROW(12(R4), R11)
	MOVD R0, R12
	MOVD R0, R13
	MOVD R0, R14
	MOVD R0, R15
	CMP  R5, R17
	BGE  fourAsk
	SOMEROW(1, R12)
	SOMEROW(2, R13)
	SOMEROW(3, R14)
	SOMEROW(4, R15)

fourAsk:
	VEOR V16.B16, V16.B16, V16.B16
	VEOR V17.B16, V17.B16, V17.B16
	VEOR V18.B16, V18.B16, V18.B16
	VEOR V19.B16, V19.B16, V19.B16
	VEOR V20.B16, V20.B16, V20.B16
	VEOR V21.B16, V21.B16, V21.B16
	VEOR V22.B16, V22.B16, V22.B16
	VEOR V23.B16, V23.B16, V23.B16
	MOVD R0, R19
	SUBS $16, R1, R20
	BLT  fourFew

fourSixteen:
	VLD1.P 64(R19), [V0.S4, V1.S4, V2.S4, V3.S4]
	SIXTEEN(R8, 16, 17)
	AHEAD(R12)
	SIXTEEN(R9, 18, 19)
	AHEAD(R13)
	SIXTEEN(R10, 20, 21)
	AHEAD(R14)
	SIXTEEN(R11, 22, 23)
	AHEAD(R15)
	SUBS $16, R20, R20
	BGE  fourSixteen

fourFew:
	ADDS $12, R20, R20
	BLT  fourSum

fourFour:
	VLD1.P 16(R19), [V0.S4]
	FOUR(R8, 16)
	FOUR(R9, 18)
	FOUR(R10, 20)
	FOUR(R11, 22)
	SUBS $4, R20, R20
	BGE  fourFour

fourSum:
	FOLD(16, 17)
	FOLD(18, 19)
	FOLD(20, 21)
	FOLD(22, 23)
	ADDS $4, R20, R20
	BEQ  fourDone

fourOne:
	FMOVS.P 4(R19), F0
	FMOVS.P 4(R8), F4
	FMOVS.P 4(R9), F5
	FMOVS.P 4(R10), F6
	FMOVS.P 4(R11), F7
	TERMONE(F4, F0, F16)
	TERMONE(F5, F0, F18)
	TERMONE(F6, F0, F20)
	TERMONE(F7, F0, F22)
	SUBS $1, R20, R20
	BNE  fourOne

fourDone:
	FMOVS.P F16, 4(R6)
	FMOVS.P F18, 4(R6)
	FMOVS.P F20, 4(R6)
	FMOVS.P F22, 4(R6)
	ADD  $16, R4, R4
	SUB  $4, R5, R5
	CMP  $4, R5
	BGE  four

single:
	CBZ  R5, done
	ROW(0(R4), R8)
	VEOR V16.B16, V16.B16, V16.B16
	VEOR V17.B16, V17.B16, V17.B16
	MOVD R0, R19
	SUBS $16, R1, R20
	BLT  singleFew

singleSixteen:
	VLD1.P 64(R19), [V0.S4, V1.S4, V2.S4, V3.S4]
	SIXTEEN(R8, 16, 17)
	SUBS $16, R20, R20
	BGE  singleSixteen

singleFew:
	ADDS $12, R20, R20
	BLT  singleSum

singleFour:
	VLD1.P 16(R19), [V0.S4]
	FOUR(R8, 16)
	SUBS $4, R20, R20
	BGE  singleFour

singleSum:
	FOLD(16, 17)
	ADDS $4, R20, R20
	BEQ  singleDone

singleOne:
	FMOVS.P 4(R19), F0
	FMOVS.P 4(R8), F4
	TERMONE(F4, F0, F16)
	SUBS $1, R20, R20
	BNE  singleOne

singleDone:
	FMOVS.P F16, 4(R6)
	ADD  $4, R4, R4
	SUB  $1, R5, R5
	B    single

done:
	RET

#undef ROW
#undef SOMEROW
#undef SIXTEEN
#undef FOUR
#undef AHEAD
#undef FMLA4
#undef FADD4
#undef FSUB4
#undef FADDP4
#undef FOLD
