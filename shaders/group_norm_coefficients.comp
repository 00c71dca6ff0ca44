#version 460
// Merges the moments of all slices and folds them with gamma and beta: (scale, shift) for each channel of each picture, so
// that the norm is x * scale + shift. TOTAL: the merged moments themselves instead, to [group] at totalAddress.
// Groups of 256 threads: pictures × groups.
#include "common.glsl"

layout(local_size_x = 256) in;
#define PUSH_GROUP_NORM_COEFFICIENTS
#include "push_constants.h"

shared vec3 moments[256];

void main() {
    uint64_t workgroup = linearGroup();
    if (workgroup >= uint64_t(pictures) * groups) return;
    uint64_t picture = workgroup / groups, group = workgroup % groups;
    uint thread = gl_LocalInvocationIndex;
    vec3 mine = vec3(0);
    for (uint s = thread; s < slices; s += 256)
        mine = mergeMoments(mine, Words4(partialsAddress + ((picture * slices + s) * groups + group) * 16ul).v.xyz);
    moments[thread] = mine;
    barrier();
    for (uint half_ = 128; half_ > 0; half_ /= 2) {
        if (thread < half_) moments[thread] = mergeMoments(moments[thread], moments[thread + half_]);
        barrier();
    }
#ifdef TOTAL
    if (thread == 0) Words4(totalAddress + workgroup * 16ul).v = vec4(moments[0], 0);
#else
    float mean = moments[0].y;
    float inverse = inversesqrt(moments[0].z / moments[0].x + eps);
    uint perGroup = channels / groups;
    for (uint i = thread; i < perGroup; i += 256) {
        uint64_t channel = group * perGroup + i;
        float scale = load1F32(gammaAddress, channel) * inverse;
        uint64_t at = (picture * channels + channel) * 2ul;
        store1F32(coefficientsAddress, at, scale);
        store1F32(coefficientsAddress, at + 1ul, load1F32(betaAddress, channel) - mean * scale);
    }
#endif
}
