// The body of a kernel for code rows (see int8.go), the same for AVX2 and AVX-512
// VNNI. A .s file defines the pieces below and includes this file.
//
// Rows are scored four at a time; where fewer are left, the last one stands in for
// the missing. A graph walk is bound by memory latency, so the first rows of a list
// are all asked for at once, and each four that is read asks for four more.
//
//	SI              last line of the query
//	DX              bytes before a row's last line
//	AX              where in the row we are, counted from its last line, up to 0
//	DI R14          the row numbers, and how many are left
//	R8-R11          last lines of the four rows
//	R12 R13 BX CX   last lines of the four rows asked for
//	A0-A3           the sums, one per row
//	Q               part of the query
//
// The pieces:
//
//	CONSTANTS     loads what the pieces need
//	ZERO(v)       v = 0
//	LOAD          prepares the query's line at (SI)(AX*1)
//	LOADLAST      the same for its last line without the factors
//	TERM(p, v)    v += the products with the line at (p)(AX*1)
//	FOLD          X8 = the sums of the four rows
//	UNBIAS(l, h)  takes what the rows' tails say off X8, if the sums have it in them:
//	              it is in the upper halves of l and h; l may be overwritten

#define ROW(index, p) \
	MOVL  index, p;         \
	IMULQ stride+24(FP), p; \
	ADDQ  matrix+16(FP), p; \
	ADDQ  DX, p

// SOMEROW is row i of the list, or its last row.
#define SOMEROW(i, p) \
	LEAQ    i(AX), p;  \
	CMPQ    p, R14;    \
	CMOVQGE R14, p;    \
	ROW(-4(DI)(p*4), p)

#define TERMS \
	TERM(R8, A0);  \
	TERM(R9, A1);  \
	TERM(R10, A2); \
	TERM(R11, A3)

	MOVQ q+0(FP), SI
	MOVQ n+8(FP), DX
	MOVQ rows+32(FP), DI
	MOVQ count+40(FP), R14
	SUBQ $64, DX
	ADDQ DX, SI
	CONSTANTS

	// The rows of the start, whole.
	MOVQ    ahead+64(FP), BX
	CMPQ    BX, R14
	CMOVQGT R14, BX
	XORL    CX, CX

start:
	ROW(0(DI)(CX*4), R8)
	MOVQ DX, AX
	NEGQ AX

startLine:
	PREFETCHT0 (R8)(AX*1)
	ADDQ       $64, AX
	JLE        startLine
	INCQ       CX
	CMPQ       CX, BX
	JLT        start

four:
	CMPQ R14, $4
	JLT  fewer
	ROW(0(DI), R8)
	ROW(4(DI), R9)
	ROW(8(DI), R10)
	ROW(12(DI), R11)

fourSums:
	ZERO(A0)
	ZERO(A1)
	ZERO(A2)
	ZERO(A3)
	MOVQ ahead+64(FP), AX
	CMPQ AX, R14
	JGE  alone
	SOMEROW(1, R12)
	SOMEROW(2, R13)
	SOMEROW(3, BX)
	SOMEROW(4, CX)
	MOVQ  DX, AX
	NEGQ  AX
	JEQ   lastAsked

asking:
	LOAD
	TERMS
	PREFETCHT0 (R12)(AX*1)
	PREFETCHT0 (R13)(AX*1)
	PREFETCHT0 (BX)(AX*1)
	PREFETCHT0 (CX)(AX*1)
	ADDQ $64, AX
	JLT  asking

lastAsked:
	PREFETCHT0 (R12)
	PREFETCHT0 (R13)
	PREFETCHT0 (BX)
	PREFETCHT0 (CX)
	JMP last

alone:
	MOVQ DX, AX
	NEGQ AX
	JEQ  last

line:
	LOAD
	TERMS
	ADDQ $64, AX
	JLT  line

last:
	LOADLAST
	TERMS
	FOLD

	// The factors of the four rows, turned from rows into columns.
	VMOVUPS     48(R8), X0
	VMOVUPS     48(R9), X1
	VMOVUPS     48(R10), X2
	VMOVUPS     48(R11), X3
	VUNPCKHPS   X1, X0, X4          // add, add, sum, sum
	VUNPCKHPS   X3, X2, X5
	VUNPCKLPS   X1, X0, X0          // codes, codes, scale, scale
	VUNPCKLPS   X3, X2, X2
	VUNPCKHPD   X2, X0, X0          // the scales
	VUNPCKLPD   X5, X4, X1          // what is added
	UNBIAS(X4, X5)
	VCVTDQ2PS   X8, X8
	VBROADCASTSS mul+60(FP), X2
	VBROADCASTSS add+56(FP), X3
	VMULPS      X2, X8, X8
	VMULPS      X0, X8, X8
	VADDPS      X1, X3, X3
	VADDPS      X8, X3, X8
	MOVQ        out+48(FP), AX
	CMPQ        R14, $4
	JLT         someOut
	VMOVUPS     X8, (AX)
	ADDQ        $16, out+48(FP)
	ADDQ        $16, DI
	SUBQ        $4, R14
	JNE         four
	VZEROUPPER
	RET

fewer:
	XORL AX, AX
	ROW(0(DI), R8)
	SOMEROW(2, R9)
	SOMEROW(3, R10)
	SOMEROW(4, R11)
	JMP  fourSums

someOut:
	VMOVSS X8, (AX)
	CMPQ   R14, $2
	JLT    done
	VEXTRACTPS $1, X8, 4(AX)
	JEQ    done
	VEXTRACTPS $2, X8, 8(AX)

done:
	VZEROUPPER
	RET

#undef ROW
#undef SOMEROW
#undef TERMS
