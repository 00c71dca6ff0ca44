#version 460
// 3×3 convolution, stride 1, of an NHWC feature map of CHANNELS to OUTPUTS (1 to 8) channels in fp32, on 16×16×16 cooperative
// matrices: the picture at the end of a decoder. TYPE, NORM and NORM_SILU as in conv3x3_coopmat.comp.
// x [inH][inW][CHANNELS], read from top rows and left columns outside of it on; xStride 16 bytes from pixel to pixel;
// y [H][W][OUTPUTS] fp32; w [9][OUTPUTS][CHANNELS]; bias [OUTPUTS] fp32; gn [CHANNELS] (scale, shift). Dispatch
// (1, ceil(W / 62), ceil(H / rows)); CHANNELS is a multiple of 32. Subgroups of 32, required and full.
//
// Each pixel is read once, but for columns at the edges of workgroups: a workgroup of 4 warps goes down rows of 64 pixels and
// multiplies each pixel by the weights of all taps at once, which are the rows of the first matrices. The products of a pixel
// for its nine outputs are exchanged through shared memory, and a thread keeps the sums of the two rows that are not complete
// yet. Both matrices come straight from memory: lanes load eight channels of a pixel, or of a row of weights, and the order of
// inner indices is the same in both.
#pragma use_vulkan_memory_model
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#include "addresses.glsl"

const int WARPS = 4, THREADS = WARPS * 32, WIDTH = WARPS * 16, MADE = CONV_FEW_COOPMAT_COLUMNS, TAPS = 9, WEIGHT_ROWS = TAPS * OUTPUTS;
const int BLOCKS = (WEIGHT_ROWS + 15) / 16, STAGES = CHANNELS / 32;             // of weights; of 32 channels
const int ROW = WIDTH + 8;                                                      // of what one row of weights gives: few bank conflicts
const int ITEMS = (MADE * OUTPUTS + THREADS - 1) / THREADS;                     // values of a row of y for each thread

layout(local_size_x = THREADS) in;
// Not readonly on purpose: the driver moves read-only loads down to their use, past barriers.
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Any16 { uvec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer In16 { uvec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InF4 { vec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InF { float v; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutF { float v; };
#define PUSH_CONV3X3_FEW_COOPMAT
#define PUSH_NAME p
#include "push_constants.h"

#include "coopmat.glsl"
#include "coopmat_norm.glsl"

shared uvec4 sm[BLOCKS * 16 * ROW / 4];                                         // fp32 [tap][output][pixel]

void main() {
    DECLARE_ELEMENT
    int t = int(gl_LocalInvocationIndex), warp = int(gl_SubgroupID), lane = int(gl_SubgroupInvocationID);
    int x0 = int(gl_WorkGroupID.y) * MADE, y0 = int(gl_WorkGroupID.z) * p.rows, rows = min(p.rows, p.H - y0);
    int eight = lane % 4, column = x0 - p.left + warp * 16 + lane / 4;          // and the one 8 columns on
    bool inside0 = uint(column) < uint(p.inW), inside1 = uint(column + 8) < uint(p.inW);
    int from0 = (inside0 ? column : 0) * p.xStride + eight, from1 = (inside1 ? column + 8 : 0) * p.xStride + eight;
    bool rowInside;
    uint64_t at;
#define GO_TO(r) { int row_ = y0 - p.top + (r); rowInside = uint(row_) < uint(p.inH); at = ADDRESS(p.x, rowInside ? row_ * p.inW * p.xStride : 0, 16); }
#define X_AT(from, s) Any16(ADDRESS(ADDRESS(at, from, 16), (s) * 4, 16)).v
#if CHANNELS <= 128
    GO_TO(0)
    uvec4 h[STAGES][2];                                                         // of the row that comes next
#define PREFETCH { [[unroll]] for (int s = 0; s < STAGES; s++) { h[s][0] = X_AT(from0, s); h[s][1] = X_AT(from1, s); } }
    PREFETCH
#endif
    int weights[BLOCKS][2];                                                     // behind the last row the last again
    [[unroll]] for (int m = 0; m < BLOCKS; m++) [[unroll]] for (int i = 0; i < 2; i++)
        weights[m][i] = min(m * 16 + i * 8 + lane / 4, WEIGHT_ROWS - 1) * (CHANNELS / 8) + eight;

    float one[ITEMS], two[ITEMS];                                               // sums of the first one and two rows of taps
    [[unroll]] for (int n = 0; n < ITEMS; n++) one[n] = two[n] = 0.0;
    [[dont_unroll]] for (int r = 0; r < rows + 2; r++) {
#if CHANNELS <= 128
        bool is0 = rowInside && inside0, is1 = rowInside && inside1;
        uvec4 now[STAGES][2] = h;
        GO_TO(min(r + 1, rows + 1))
        PREFETCH
#define EIGHT(s, i, from) now[s][i]
#else
        GO_TO(r)
        bool is0 = rowInside && inside0, is1 = rowInside && inside1;
#define EIGHT(s, i, from) X_AT(from, s)
#endif
        MatC acc[BLOCKS];
        [[unroll]] for (int m = 0; m < BLOCKS; m++) acc[m] = splatC(0.0);
        [[unroll]] for (int s = 0; s < STAGES; s++) {
            LOAD_NORM(s * 32 + eight * 8)
            uvec4 u = EIGHT(s, 0, from0), v = EIGHT(s, 1, from1), elements;
            u = is0 ? INPUT(u) : uvec4(0);
            v = is1 ? INPUT(v) : uvec4(0);
            MatA A;
            MatB B0, B1;
            elements = uvec4(u.xy, v.xy); COMPOSE(B0, elements)
            elements = uvec4(u.zw, v.zw); COMPOSE(B1, elements)
            [[unroll]] for (int m = 0; m < BLOCKS; m++) {
                u = In16(ADDRESS(p.w, weights[m][0] + s * 4, 16)).v; v = In16(ADDRESS(p.w, weights[m][1] + s * 4, 16)).v;
                elements = uvec4(u.xy, v.xy); COMPOSE_A(A, elements) acc[m] = mma(A, B0, acc[m]);
                elements = uvec4(u.zw, v.zw); COMPOSE_A(A, elements) acc[m] = mma(A, B1, acc[m]);
            }
        }
        [[unroll]] for (int m = 0; m < BLOCKS; m++) storeC(sm[m * 4 * ROW + warp * 4], acc[m], kRowMajor, ROW / 4, 32);
        barrier();
        [[unroll]] for (int n = 0; n < ITEMS; n++) {
            int i = t + n * THREADS, px = i / OUTPUTS, o = i - px * OUTPUTS;
            if (px >= MADE) continue;
            vec3 sum = vec3(0);                                                 // by rows of taps
            [[unroll]] for (int tap = 0; tap < TAPS; tap++) {
                int at = (tap * OUTPUTS + o) * ROW + px + tap % 3;
                sum[tap / 3] += uintBitsToFloat(sm[at / 4][at % 4]);
            }
            if (r >= 2 && x0 + px < p.W) 
                OutF(ADDRESS(p.y, ((y0 + r - 2) * p.W + x0 + px) * OUTPUTS + o, 4)).v = two[n] + sum.z + InF(ADDRESS(p.bias, o, 4)).v;
            two[n] = one[n] + sum.y;
            one[n] = sum.x;
        }
        barrier();
    }
}
