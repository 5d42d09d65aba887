// The body of a row kernel, the same for AVX2 and AVX-512, dot and l2. A .s file
// defines the pieces below and includes this file once per kernel.
//
// Rows are scored four at a time, each with two sums. A graph walk is bound by memory
// latency, so its misses must overlap: the first rows of a list are all prefetched at
// once, and then four more at the pace at which four are read. The one to three rows
// left over are scored singly, with the same sums in the same order, so that a row's
// score doesn't depend on its place in the list.
//
//	SI              end of the query
//	DX              bytes of a row
//	AX              where in the row we are, counted from its end, up to 0
//	DI R14          the row numbers, and how many are left
//	R8-R11          ends of the four rows
//	R12 R13 BX CX   ends of the four rows asked for, or of the query if there are none
//	A0-A7           the sums: two per row
//	Q0 Q1 T0 T1     parts of the query, temporaries
//
// The pieces: W is the bytes of a vector register, W2 twice that, and
//
//	MASK                  makes the mask for the last n mod (W/4) floats; changes AX, CX
//	ZERO(v)               v = 0
//	LOAD(d, p, v)         v = the floats at d(p)(AX*1)
//	LOADTAIL(p, v)        v = the last floats at (p)(AX*1), padded with zeros
//	TERM(d, p, q, v, t)   v += term(q, floats at d(p)(AX*1)); t may be overwritten
//	TERMREG(f, q, v)      v += term(q, f); f may be overwritten
//	AHEAD(p)              prefetches the W2 bytes at (p)(AX*1)
//	FOLD(v, w, vy, vx)    vx = the four quarters of v + w, added; vy is v's low half

#define ROW(index, p) \
	MOVL  index, p;         \
	IMULQ stride+24(FP), p; \
	ADDQ  matrix+16(FP), p; \
	ADDQ  DX, p

// SOMEROW is row AX+i of the list, counted from 1, or its last row.
#define SOMEROW(i, p) \
	LEAQ    i(AX), p; \
	CMPQ    p, R14;   \
	CMOVQGE R14, p;   \
	ROW(-4(DI)(p*4), p)

	MOVQ q+0(FP), SI
	MOVQ n+8(FP), DX
	MOVQ rows+32(FP), DI
	MOVQ count+40(FP), R14
	MASK
	SHLQ $2, stride+24(FP)
	SHLQ $2, DX
	ADDQ DX, SI
	CMPQ R14, $4
	JLT  single

	// The rows of the start, whole.
	MOVQ    ahead+56(FP), BX
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
	JLT        startLine
	INCQ       CX
	CMPQ       CX, BX
	JLT        start

four:
	ROW(0(DI), R8)
	ROW(4(DI), R9)
	ROW(8(DI), R10)
	ROW(12(DI), R11)
	MOVQ SI, R12
	MOVQ SI, R13
	MOVQ SI, BX
	MOVQ SI, CX
	MOVQ ahead+56(FP), AX
	CMPQ AX, R14
	JGE  fourAsk
	SOMEROW(1, R12)
	SOMEROW(2, R13)
	SOMEROW(3, BX)
	SOMEROW(4, CX)

fourAsk:
	ZERO(A0)
	ZERO(A1)
	ZERO(A2)
	ZERO(A3)
	ZERO(A4)
	ZERO(A5)
	ZERO(A6)
	ZERO(A7)
	MOVQ DX, AX
	NEGQ AX
	CMPQ AX, $-W2
	JGT  fourOne

fourTwo:
	LOAD(0, SI, Q0)
	LOAD(W, SI, Q1)
	TERM(0, R8, Q0, A0, T0)
	TERM(W, R8, Q1, A1, T1)
	AHEAD(R12)
	TERM(0, R9, Q0, A2, T0)
	TERM(W, R9, Q1, A3, T1)
	AHEAD(R13)
	TERM(0, R10, Q0, A4, T0)
	TERM(W, R10, Q1, A5, T1)
	AHEAD(BX)
	TERM(0, R11, Q0, A6, T0)
	TERM(W, R11, Q1, A7, T1)
	AHEAD(CX)
	ADDQ $W2, AX
	CMPQ AX, $-W2
	JLE  fourTwo

fourOne:
	CMPQ AX, $-W
	JGT  fourTail
	LOAD(0, SI, Q0)
	TERM(0, R8, Q0, A0, T0)
	TERM(0, R9, Q0, A2, T1)
	TERM(0, R10, Q0, A4, T0)
	TERM(0, R11, Q0, A6, T1)
	PREFETCHT0 (R12)(AX*1)
	PREFETCHT0 (R13)(AX*1)
	PREFETCHT0 (BX)(AX*1)
	PREFETCHT0 (CX)(AX*1)
	ADDQ $W, AX

fourTail:
	TESTQ AX, AX
	JEQ   fourSum
	LOADTAIL(SI, Q0)
	LOADTAIL(R8, T0)
	TERMREG(T0, Q0, A0)
	LOADTAIL(R9, T1)
	TERMREG(T1, Q0, A2)
	LOADTAIL(R10, T0)
	TERMREG(T0, Q0, A4)
	LOADTAIL(R11, T1)
	TERMREG(T1, Q0, A6)

fourSum:
	FOLD(A0, A1, Y8, X8)
	FOLD(A2, A3, Y10, X10)
	FOLD(A4, A5, Y12, X12)
	FOLD(A6, A7, Y14, X14)
	VHADDPS X10, X8, X8
	VHADDPS X14, X12, X12
	VHADDPS X12, X8, X8
	MOVQ    out+48(FP), AX
	VMOVUPS X8, (AX)
	ADDQ    $16, out+48(FP)
	ADDQ    $16, DI
	SUBQ    $4, R14
	CMPQ    R14, $4
	JGE     four

single:
	TESTQ R14, R14
	JEQ   done
	ROW(0(DI), R8)
	ZERO(A0)
	ZERO(A1)
	MOVQ  DX, AX
	NEGQ  AX
	CMPQ  AX, $-W2
	JGT   singleOne

singleTwo:
	LOAD(0, SI, Q0)
	LOAD(W, SI, Q1)
	TERM(0, R8, Q0, A0, T0)
	TERM(W, R8, Q1, A1, T1)
	ADDQ $W2, AX
	CMPQ AX, $-W2
	JLE  singleTwo

singleOne:
	CMPQ AX, $-W
	JGT  singleTail
	LOAD(0, SI, Q0)
	TERM(0, R8, Q0, A0, T0)
	ADDQ $W, AX

singleTail:
	TESTQ AX, AX
	JEQ   singleSum
	LOADTAIL(SI, Q0)
	LOADTAIL(R8, T0)
	TERMREG(T0, Q0, A0)

singleSum:
	FOLD(A0, A1, Y8, X8)
	VHADDPS X8, X8, X8
	VHADDPS X8, X8, X8
	MOVQ    out+48(FP), AX
	VMOVSS  X8, (AX)
	ADDQ    $4, out+48(FP)
	ADDQ    $4, DI
	DECQ    R14
	JMP     single

done:
	VZEROUPPER
	RET

#undef ROW
#undef SOMEROW
