#include "textflag.h"

// AVX-512 F, BW, VBMI and VNNI: 64 lookups and their additions in two instructions.
// See fastscan.go for the layout.
//
//	SI CX DX  tables, chunks, bits
//	DI R11    the block, and where in its codes we are
//	R8        where in the block asked for we are
//	R9        the numbers
//	Z0 Z1     the sums of slots 0 to 15 and 16 to 31
//	Z16       15 in each byte
//	Z17       16 times the place of each byte in its word
//	Z18       the value of the bit in each byte

// func scanVBMI(tables *byte, chunks, bits int, block, ahead *uint32, f *scanFactors, out *float32) uint32
TEXT ·scanVBMI(SB), NOSPLIT, $0-60
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
	MOVL         $0x0F0F0F0F, AX
	VPBROADCASTD AX, Z16
	MOVL         $0x30201000, AX
	VPBROADCASTD AX, Z17
	MOVL         $0x01010101, AX
	VPBROADCASTD AX, Z18
	VPXORD       Z0, Z0, Z0
	VPXORD       Z1, Z1, Z1

bit:
	MOVQ SI, BX
	MOVQ CX, AX

chunk:
	VMOVDQU64  (R11), Z2
	VMOVDQU64  (BX), Z3
	PREFETCHT0 (R8)
	VPSRLW     $4, Z2, Z4
	VPTERNLOGD $0xEA, Z17, Z16, Z2 // (Z2 & Z16) | Z17
	VPTERNLOGD $0xEA, Z17, Z16, Z4
	VPERMB     Z3, Z2, Z2
	VPERMB     Z3, Z4, Z4
	VPDPBUSD   Z18, Z2, Z0
	VPDPBUSD   Z18, Z4, Z1
	ADDQ       $64, R11
	ADDQ       $64, R8
	ADDQ       $64, BX
	DECQ       AX
	JNZ        chunk
	VPADDB     Z18, Z18, Z18
	DECQ       DX
	JNZ        bit

	VCVTDQ2PS    Z0, Z0
	VCVTDQ2PS    Z1, Z1
	VBROADCASTSS 0(R9), Z4
	VBROADCASTSS 4(R9), Z5
	VBROADCASTSS 8(R9), Z2
	VBROADCASTSS 12(R9), Z3
	VBROADCASTSS 16(R9), Z7
	VFMADD213PS  Z3, Z2, Z0
	VFMADD213PS  Z3, Z2, Z1
	VMOVAPS      Z4, Z6
	VFMADD231PS  (DI), Z5, Z4
	VFMADD231PS  64(DI), Z5, Z6
	VFMADD231PS  128(DI), Z0, Z4
	VFMADD231PS  192(DI), Z1, Z6
	MOVQ         out+48(FP), R10
	VMOVUPS      Z4, (R10)
	VMOVUPS      Z6, 64(R10)
	VCMPPS       $17, Z7, Z4, K1 // below, false for NaN
	VCMPPS       $17, Z7, Z6, K2
	KMOVW        K1, AX
	KMOVW        K2, BX
	SHLL         $16, BX
	ORL          BX, AX
	MOVL         AX, ret+56(FP)
	VZEROUPPER
	RET
