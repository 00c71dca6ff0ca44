#version 460
// Moments of each group of channels over one slice of a picture: (count, mean, sum of squared deviations, 0) at
// [picture][slice][group]. One workgroup sums one slice; the order of additions is fixed. Sums are taken about the slice's
// first pixel, so a mean far from zero costs no digits. A group is a multiple of four channels of which 512 or all channels
// hold a whole number; with ANY_GROUP any number whose smallest common multiple with four is at most 512.
// Defines: IN (type), ANY_GROUP. Groups of 128 threads: slices × pictures.
#include "common.glsl"

layout(local_size_x = 128) in;
#define PUSH_GROUP_NORM_STATS
#include "push_constants.h"

#ifdef ANY_GROUP
shared vec3 moments[4 * 128]; // of single channels
#else
shared vec3 moments[128];
#endif

void main() {
    uint64_t workgroup = linearGroup();
    if (workgroup >= uint64_t(pictures) * slices) return;
    uint64_t picture = workgroup / slices, slice = workgroup % slices;
    uint64_t perSlice = (pixels + slices - 1) / slices;
    uint64_t begin = slice * perSlice, end = min(begin + perSlice, pixels);
    uint thread = gl_LocalInvocationIndex, blocks = channels / 4;
    uint64_t base = picture * pixels * stride;

    // Channels in rounds of up to 128 blocks; in a round `lanes` threads share the pixels of a block.
#ifdef ANY_GROUP
    // As many as hold whole groups: `unit` blocks do, which are the smallest multiple of the group and of four channels.
    uint perGroup = channels / groups, unit = perGroup % 4 == 0 ? perGroup / 4 : perGroup % 2 == 0 ? perGroup / 2 : perGroup;
    uint round_ = 128 / unit * unit;
#else
    const uint round_ = 128;
#endif
    for (uint firstBlock = 0; firstBlock < blocks; firstBlock += round_) {
        uint width = min(blocks - firstBlock, round_), lanes = 128 / width;
        uint block = firstBlock + thread % width, lane = thread / width;
#ifdef ANY_GROUP
        [[unroll]] for (uint i = 0; i < 4; ++i) moments[4 * thread + i] = vec3(0);
#endif
        vec3 mine = vec3(0);
        if (lane < lanes && begin < end) {
            vec4 origin = LOAD4(IN)(inAddress, base + begin * stride + block);
            float count = 0.0;
            vec4 sum = vec4(0), squares = vec4(0);
            // Four loads are under way at a time.
            uint64_t p = begin + lane;
            for (; p + 3 * lanes < end; p += 4 * lanes) {
                vec4 d[4];
                [[unroll]] for (uint i = 0; i < 4; ++i) d[i] = LOAD4(IN)(inAddress, base + (p + i * lanes) * stride + block) - origin;
                [[unroll]] for (uint i = 0; i < 4; ++i) {
                    sum += d[i];
                    squares = fma(d[i], d[i], squares);
                }
                count += 4.0;
            }
            for (; p < end; p += lanes) {
                vec4 d = LOAD4(IN)(inAddress, base + p * stride + block) - origin;
                sum += d;
                squares = fma(d, d, squares);
                count += 1.0;
            }
            if (count > 0.0)
#ifdef ANY_GROUP
                [[unroll]] for (uint i = 0; i < 4; ++i)
                    moments[4 * thread + i] = vec3(count, origin[i] + sum[i] / count, squares[i] - sum[i] * sum[i] / count);
#else
                [[unroll]] for (int i = 0; i < 4; ++i)
                    mine = mergeMoments(mine, vec3(count, origin[i] + sum[i] / count, squares[i] - sum[i] * sum[i] / count));
#endif
        }
#ifdef ANY_GROUP
        barrier();
        for (uint g = thread; g < width * 4 / perGroup; g += 128) {
            vec3 all = vec3(0);
            for (uint l = 0; l < lanes; ++l)
                for (uint c = g * perGroup; c < (g + 1) * perGroup; ++c)
                    all = mergeMoments(all, moments[4 * (l * width + c / 4) + c % 4]);
            uint64_t group = firstBlock * 4 / perGroup + g;
            Words4(partialsAddress + (workgroup * groups + group) * 16ul).v = vec4(all, 0);
        }
        barrier();
#else
        moments[thread] = mine;
        barrier();
        uint blocksPerGroup = blocks / groups;
        // A round holds whole groups, as said above.
        uint groupsHere = width / blocksPerGroup;
        if (thread < groupsHere) {
            vec3 all = vec3(0);
            for (uint l = 0; l < lanes; ++l)
                for (uint b = 0; b < blocksPerGroup; ++b) all = mergeMoments(all, moments[l * width + thread * blocksPerGroup + b]);
            uint64_t group = firstBlock / blocksPerGroup + thread;
            Words4(partialsAddress + (workgroup * groups + group) * 16ul).v = vec4(all, 0);
        }
        barrier();
#endif
    }
}
