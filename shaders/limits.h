// Sizes that kernels and the host that dispatches them must agree on. Plain defines, for C++ and GLSL read this file.
#ifdef __cplusplus
#pragma once
#endif

#define CONV_COOPMAT_ROWS 16        // rows of pixels of a workgroup of conv3x3_coopmat.comp: the rows of a matrix
#define CONV_FEW_COOPMAT_COLUMNS 62 // columns of a workgroup of conv3x3_few_coopmat.comp: 64 are read
#define CONV_FEW_COOPMAT_OUTPUTS 8  // the largest number of channels that it makes
#define GEMM_COOPMAT_BLOCKS_DEPTH                                                                                      \
    64 // inner elements at a time of gemm_coopmat.comp, of which an inner extent is a multiple
#define GEMM_COOPMAT_ROWS_DEPTH 32  // the same where b is rows
#define GROUP_NORM_APPLY_ITEMS 2048 // vec4s of channels of a workgroup of group_norm_apply.comp
#define WINOGRAD_GROUP_VALUES 32    // values of a pixel, and tiles, of a workgroup of Winograd's portable transforms
#define WINOGRAD_GROUP_TILES 4
#define WINOGRAD_PAD_THREADS 256 // vec4s of channels of a row of a workgroup of winograd_pad.comp
#define CPU_LANES 8              // of a subgroup of Mesa's CPU device, and threads of every workgroup there
#define GEMM_CPU_ROWS 5          // rows of a lane of gemm_cpu.comp
#define GEMM_CPU_COLUMNS 32      // columns of a tile of it
