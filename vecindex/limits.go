package vecindex

import "math"

// MaxSquaredLength is the squared length up to which vectors are taken under L2 and
// Dot (Cosine takes any that is finite). By Cauchy-Schwarz no distance of two such
// vectors, nor a part of its sum, overflows a float32: distances are always finite.
const MaxSquaredLength = math.MaxFloat32 / 8
