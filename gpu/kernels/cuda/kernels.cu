// All kernels, in one piece of code for the device.
#include "encode.cuh"
#include "rerank.cuh"
#include "row_scan.cuh"
#include "select.cuh"
#include "tile_scan.cuh"
