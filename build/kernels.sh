#!/usr/bin/env bash
# Compiles the GPU's kernels (gpu/kernels/cuda) into gpu/kernels/images, which is
# committed with them: machine code for sm_90 and PTX for sm_80, which a driver compiles
# for any device from that generation on. With --check it changes nothing, and says
# whether the images are what nvcc makes of the sources; only the version of nvcc that
# they were made with makes the same again.
#
# It needs nvcc 11.8 or newer (go tool task build:cuda installs one). NVCC and CUDA_CXX
# may name another nvcc and its host compiler.
set -euo pipefail
export LC_ALL=C # the order of files
cd "$(dirname "$0")/../gpu/kernels"

readonly NVCC=${NVCC:-nvcc}
command -v "$NVCC" >/dev/null || {
	echo 'kernels: there is no nvcc; go tool task build:cuda installs one (build/cuda.sh --install)' >&2
	exit 1
}

# nvcc 11.8 takes no newer host compiler than g++ 11.
host=${CUDA_CXX:-$(command -v g++-11 || command -v g++)}

# All multiplications and additions that are to be fused say so.
compile() { "$NVCC" -ccbin "$host" -std=c++17 -O3 -fmad=false "$@" cuda/kernels.cu; }

make_images() {
	compile -arch=sm_90 -cubin -o "$1/sm_90.cubin"
	compile -arch=compute_80 -ptx -o "$1/sm_80.ptx"
	"$NVCC" --version | sed -n 's/.* \(V[0-9.]*\)$/nvcc \1/p' >"$1/made"
	(cd "$1" && sha256sum sm_80.ptx sm_90.cubin) >>"$1/made"
	(cd cuda && sha256sum abi.h ./*.cu*) | sed 's| \./| |' >>"$1/made"
}

check() {
	local work status=0
	work=$(mktemp -d)
	make_images "$work"
	cmp "$work/made" images/made >&2 || status=1
	cmp "$work/sm_90.cubin" images/sm_90.cubin >&2 || status=1
	cmp "$work/sm_80.ptx" images/sm_80.ptx >&2 || status=1
	rm -r "$work"
	[ "$status" -eq 0 ] || echo 'These are not what nvcc makes of the kernels: run go tool task gpu:kernels.' >&2
	return "$status"
}

case ${1:-} in
'') mkdir -p images && make_images images ;;
--check) check ;;
*) echo "kernels.sh: there is no option $1" >&2 && exit 1 ;;
esac
