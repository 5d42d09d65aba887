// The body of a NEON kernel for code rows (see int8.go). The plan is that of
// int8_amd64.h: four rows at a time, where the last one stands in for missing ones, the
// first rows of a list prefetched at once and four more by each four. Signed bytes are
// multiplied with signed ones, so nothing has to be taken off the sums.
//
//	R0 R1           query, and the bytes of a row
//	R2 R3           matrix, and the bytes between rows
//	R4 R5 R6        row numbers, how many are left, where the distances go
//	R8-R11          places in the four rows
//	R12-R15         places in the four rows asked for
//	R17             how many rows ahead is asked
//	R19 R20         place in the query, and how many bytes are left before its last line
//	V0-V3 V4-V7     a line of the query and one of a row
//	V16-V19         the sums, one per row
//	V24 V25 V26     what is added, what sums are multiplied by, a line's last codes
//
// The piece:
//	TERM(x, q, v)   register v += the products of registers x and q, by their numbers;
//	                V20 may be overwritten

// As in rows_arm64.h, encodings of the Arm A-profile A64 instruction set.
#define ADDP4(m, n, d) WORD $(0x4EA0BC00 | (m)<<16 | (n)<<5 | (d))
#define SCVTF4(n, d) WORD $(0x4E21D800 | (n)<<5 | (d))
#define FADD4(m, n, d) WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d))
#define FMUL4(m, n, d) WORD $(0x6E20DC00 | (m)<<16 | (n)<<5 | (d))

#define ROW(index, p) \
	MOVWU index, R7; \
	MADD  R3, R2, R7, p

// SOMEROW is row R16+i of the list, counted from 1, or its last row.
#define SOMEROW(i, p) \
	ADD   $i, R16, R7;     \
	CMP   R5, R7;          \
	CSEL  LT, R7, R5, R7;  \
	SUB   $1, R7, R7;      \
	MOVWU (R4)(R7<<2), R7; \
	MADD  R3, R2, R7, p

#define LINE(p, v) \
	VLD1.P 64(p), [V4.B16, V5.B16, V6.B16, V7.B16]; \
	TERM(4, 0, v); \
	TERM(5, 1, v); \
	TERM(6, 2, v); \
	TERM(7, 3, v)

#define LINES \
	LINE(R8, 16);  \
	LINE(R9, 17);  \
	LINE(R10, 18); \
	LINE(R11, 19)

#define ASK(p) \
	PRFM (p), PLDL1KEEP; \
	ADD  $64, p, p

	MOVD  q+0(FP), R0
	MOVD  n+8(FP), R1
	MOVD  matrix+16(FP), R2
	MOVD  stride+24(FP), R3
	MOVD  rows+32(FP), R4
	MOVD  count+40(FP), R5
	MOVD  out+48(FP), R6
	FMOVS add+56(FP), F24
	FMOVS mul+60(FP), F25
	MOVD  ahead+64(FP), R17
	VDUP  V24.S[0], V24.S4
	VDUP  V25.S[0], V25.S4
	MOVD  $0xFFFFFFFF, R7
	FMOVD R7, F26

	// The rows of the start, whole.
	CMP  R5, R17
	CSEL LT, R17, R5, R16
	MOVD ZR, R19

start:
	MOVWU (R4)(R19<<2), R7
	MADD  R3, R2, R7, R8
	MOVD  R1, R20

startLine:
	ASK(R8)
	SUBS $64, R20, R20
	BNE  startLine
	ADD  $1, R19, R19
	CMP  R16, R19
	BLT  start

four:
	ROW(0(R4), R8)
	MOVD ZR, R16
	SOMEROW(2, R9)
	SOMEROW(3, R10)
	SOMEROW(4, R11)
	VEOR V16.B16, V16.B16, V16.B16
	VEOR V17.B16, V17.B16, V17.B16
	VEOR V18.B16, V18.B16, V18.B16
	VEOR V19.B16, V19.B16, V19.B16
	MOVD R0, R19
	SUB  $64, R1, R20
	CMP  R5, R17
	BGE  alone
	MOVD R17, R16
	SOMEROW(1, R12)
	SOMEROW(2, R13)
	SOMEROW(3, R14)
	SOMEROW(4, R15)
	CBZ  R20, lastAsked

asking:
	VLD1.P 64(R19), [V0.B16, V1.B16, V2.B16, V3.B16]
	LINES
	ASK(R12)
	ASK(R13)
	ASK(R14)
	ASK(R15)
	SUBS $64, R20, R20
	BNE  asking

lastAsked:
	ASK(R12)
	ASK(R13)
	ASK(R14)
	ASK(R15)
	B    last

alone:
	CBZ R20, last

line:
	VLD1.P 64(R19), [V0.B16, V1.B16, V2.B16, V3.B16]
	LINES
	SUBS $64, R20, R20
	BNE  line

last:
	VLD1 (R19), [V0.B16, V1.B16, V2.B16, V3.B16]
	VAND V26.B16, V3.B16, V3.B16
	LINES
	ADDP4(17, 16, 16)
	ADDP4(19, 18, 18)
	ADDP4(18, 16, 16)
	SCVTF4(16, 16)

	// The factors of the four rows, turned from rows into columns.
	SUB   $16, R8, R8
	SUB   $16, R9, R9
	SUB   $16, R10, R10
	SUB   $16, R11, R11
	VLD1  (R8), [V0.S4]
	VLD1  (R9), [V1.S4]
	VLD1  (R10), [V2.S4]
	VLD1  (R11), [V3.S4]
	VZIP2 V1.S4, V0.S4, V4.S4 // add, add, sum, sum
	VZIP2 V3.S4, V2.S4, V5.S4
	VZIP1 V1.S4, V0.S4, V0.S4 // codes, codes, scale, scale
	VZIP1 V3.S4, V2.S4, V2.S4
	VZIP1 V5.D2, V4.D2, V4.D2 // what is added
	VZIP2 V2.D2, V0.D2, V0.D2 // the scales
	FMUL4(25, 16, 16)
	FMUL4(0, 16, 16)
	FADD4(4, 24, 4)
	FADD4(16, 4, 16)
	CMP   $4, R5
	BLT   someOut
	VST1.P [V16.S4], 16(R6)
	ADD   $16, R4, R4
	SUBS  $4, R5, R5
	BNE   four
	RET

someOut:
	FMOVS F16, (R6)
	CMP   $2, R5
	BLT   done
	VMOV  V16.S[1], R7
	MOVW  R7, 4(R6)
	BEQ   done
	VMOV  V16.S[2], R7
	MOVW  R7, 8(R6)

done:
	RET

#undef ADDP4
#undef SCVTF4
#undef FADD4
#undef FMUL4
#undef ROW
#undef SOMEROW
#undef LINE
#undef LINES
#undef ASK
