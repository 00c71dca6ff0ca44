#version 460
// 3×3 convolution, stride 1, of an NHWC map to OUTPUTS (1 to 8) channels in fp32, on 16×16×16 cooperative matrices:
// the picture at the end of a decoder. ELEMENT_*, NORM and NORM_SILU as in conv3x3_coopmat.comp.
// x [inH][inW][C], read from top rows and left columns outside of it on; xStride 16 bytes from pixel to pixel; y [H][W][OUTPUTS] fp32; bias [OUTPUTS] fp32; gn [C] (scale, shift).
// w [C/16][9][OUTPUTS][4][4]: of 16 input channels 2 q + {0, 1} and 8 + 2 q + {0, 1}, as lane 4 · output + q holds them.
// Dispatch (1, ceil(W / 16), ceil(H / 16)); C is a multiple of 32. Subgroups of 32, required and full.
//
// A workgroup is 4 warps and makes 16 × 16 pixels, a warp four columns. Matrices have 16 output channels; those past OUTPUTS
// are zeros: the picture is cheap anyway, and bound by reading the map.
#pragma use_vulkan_memory_model
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require

const int WARPS = 4, THREADS = WARPS * 32, COLUMNS = 4, GRID_COLUMNS = WARPS * COLUMNS, TAPS = 3, STAGE_BLOCKS = 2;
const int OUT_ROW = 5, OUT_WARP = 16 * OUT_ROW;

layout(local_size_x = THREADS) in;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer In16 { uvec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer In8 { uvec2 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InF4 { vec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InF { float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutF { float v[]; };
layout(push_constant) uniform Push { In16 x; In8 w; OutF y; InF bias; InF4 gn; int H, W, C, xStride, inH, inW, top, left; } p;

#include "coopmat.glsl"
#include "coopmat_halo.glsl"

shared uvec4 sm[SHARED_IN > WARPS * OUT_WARP ? SHARED_IN : WARPS * OUT_WARP];

void main() {
    DECLARE_ELEMENT
    int t = int(gl_LocalInvocationIndex), warp = int(gl_SubgroupID), lane = int(gl_SubgroupInvocationID);
    int x0 = int(gl_WorkGroupID.y) * GRID_COLUMNS, y0 = int(gl_WorkGroupID.z) * 16, stages = p.C / (STAGE_BLOCKS * 16);
    HALO_BEGIN(y0 - p.top, x0 - p.left)

    MatC acc[COLUMNS];
    [[unroll]] for (int i = 0; i < COLUMNS; i++) acc[i] = splatC(0.0);
    uvec4 h[PIECES];
    HALO_ASK_ALL(0)
    NORM_ASK(0)
    HALO_PUT_ALL
    barrier();

    int a0 = warp * COLUMNS * PIXEL, wi = min(lane, OUTPUTS * 4 - 1);
    MatA A[COLUMNS + 2];
    MatB B;
#define TAP(dx) { uvec2 u_ = lane < OUTPUTS * 4 ? p.w.v[wi] : uvec2(0); wi += OUTPUTS * 4; uvec4 w_ = uvec4(u_, 0, 0); COMPOSE(B, w_) \
        [[unroll]] for (int i = 0; i < COLUMNS; i++) acc[i] = mma(A[i + (dx)], B, acc[i]); }
#define TAPS_OF(k, dy) [[unroll]] for (int r = 0; r < COLUMNS + 2; r++) A[r] = loadA(sm[a0 + (dy) * ROW + r * PIXEL + (k) * 2], kRowMajor, ROW, 32); \
        TAP(0) TAP(1) TAP(2)
#define STAGE TAPS_OF(0, 0) TAPS_OF(0, 1) TAPS_OF(0, 2) TAPS_OF(1, 0) TAPS_OF(1, 1) TAPS_OF(1, 2)
    [[dont_unroll]] for (int stage = 1; stage < stages; stage++) {
        HALO_ASK_ALL(stage)
        STAGE
        NORM_ASK(stage)
        barrier();
        HALO_PUT_ALL
        barrier();
    }
    STAGE
    barrier();

    int slice = warp * OUT_WARP;
    [[unroll]] for (int i = 0; i < COLUMNS; i++) {
        storeC(sm[slice], acc[i], kRowMajor, OUT_ROW, 32);
        subgroupBarrier();
        int yy = y0 + lane % 16, xx = x0 + warp * COLUMNS + i;
        if (lane < 16 && yy < p.H && xx < p.W)
            [[unroll]] for (int o = 0; o < OUTPUTS; o++)
                p.y.v[(yy * p.W + xx) * OUTPUTS + o] = uintBitsToFloat(sm[slice + lane * OUT_ROW + o / 4][o % 4]) + p.bias.v[o];
        subgroupBarrier();
    }
}
