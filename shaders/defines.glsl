// The defines that make the variants of a kernel have the same names in all shaders, and the host passes no others for
// these things. A shader says at its head which of them it takes, and which of its own.
//   IN WEIGHT OUT RESIDUAL  storage types F32, F16 or BF16: of what is read, of the weights, of what is written and of what
//                           is added to it; without RESIDUAL nothing is added
//   TYPE                    the storage type of shaders that read and write only one
//   BIAS                    a bias is added, fp32
//   ACTIVATION_RELU ACTIVATION_SILU  the activation of what is written
//   NORM                    what is read is x · scale + shift with the coefficients of each channel, then its activation
//                           with NORM_RELU or NORM_SILU
//   KERNEL STRIDE           of a convolution
//   UPSAMPLE                what is read is upsampled by two, nearest neighbour
//   FOLDED                  the same by four 2×2 convolutions with summed weights, one for each parity of row and column
// common.glsl pastes the names of types together with those of its functions. Shaders that compare types, as in
// #if OUT == F32, include this file, which numbers them.
#define F32 1
#define F16 2
#define BF16 3
