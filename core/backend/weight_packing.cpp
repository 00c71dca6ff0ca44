#include "core/backend/weight_packing.h"

#include <algorithm>
#include <cstring>

namespace spikescope {

WeightPacking packAsStored(std::uint64_t elements) { return {{elements, 1}}; }

WeightPacking packTapInOut(std::uint64_t out, std::uint64_t in, std::uint64_t taps) {
    return {{taps, 1}, {in, taps}, {out, in * taps}};
}

WeightPacking packOutTapIn(std::uint64_t out, std::uint64_t in, std::uint64_t taps) {
    return {{out, in * taps}, {taps, 1}, {in, taps}};
}

namespace {

template <DType dtype> void store(std::byte* out, float value) {
    if constexpr (dtype == DType::F32) {
        std::memcpy(out, &value, 4);
    } else {
        const std::uint16_t bits = dtype == DType::F16 ? floatToFp16(value) : floatToBf16(value);
        std::memcpy(out, &bits, 2);
    }
}

template <DType dtype, class Values>
void pack(const Values& values, const WeightPacking& packing, std::uint64_t begin, std::uint64_t count,
          std::byte* out) {
    // An odometer over all axes but the innermost, which is a plain loop.
    std::vector<std::uint64_t> at(packing.size());
    std::uint64_t rest = begin, source = 0;
    for (std::size_t i = packing.size(); i-- > 0;) {
        at[i] = rest % packing[i].extent;
        rest /= packing[i].extent;
        source += at[i] * packing[i].stride;
    }
    const PackedAxis inner = packing.back();
    while (count > 0) {
        const std::uint64_t run = std::min(count, inner.extent - at.back());
        for (std::uint64_t i = 0; i < run; ++i, out += sizeOf(dtype))
            store<dtype>(out, values[source + i * inner.stride]);
        count -= run;
        source -= at.back() * inner.stride;
        at.back() = 0;
        for (std::size_t i = packing.size() - 1; i-- > 0;) {
            source += packing[i].stride;
            if (++at[i] < packing[i].extent) break;
            source -= at[i] * packing[i].stride;
            at[i] = 0;
        }
    }
}

template <class Values> struct FoldedValues {
    const Values& values;
    std::uint64_t pairs;

    float operator[](std::uint64_t index) const {
        const std::uint64_t column = index % 2, row = index / 2 % 2, pair = index / 4 % pairs,
                            phase = index / 4 / pairs;
        const Range rows = range(phase / 2, row), columns = range(phase % 2, column);
        float sum = 0.0f;
        for (std::uint64_t y = rows.first; y <= rows.last; ++y)
            for (std::uint64_t x = columns.first; x <= columns.last; ++x) sum += values[pair * 9 + y * 3 + x];
        return sum;
    }

private:
    struct Range {
        std::uint64_t first, last;
    };
    // The taps of a 3×3 kernel that read the same stored pixel: {0} and {1, 2} for even outputs, {0, 1} and {2} for odd
    // ones.
    static Range range(std::uint64_t odd, std::uint64_t tap) {
        if (tap == 0) return {0, odd};
        return {1 + odd, 2};
    }
};

template <class Values>
void packAs(const Values& values, const WeightPacking& packing, DType dtype, std::uint64_t begin, std::uint64_t count,
            std::byte* out) {
    switch (dtype) {
    case DType::F32: return pack<DType::F32>(values, packing, begin, count, out);
    case DType::F16: return pack<DType::F16>(values, packing, begin, count, out);
    case DType::BF16: return pack<DType::BF16>(values, packing, begin, count, out);
    }
}

} // namespace

void packFoldedWeights(const ParameterValues& values, std::uint64_t pairs, const WeightPacking& packing, DType dtype,
                       std::uint64_t begin, std::uint64_t count, std::byte* out) {
    std::visit(
        [&](const auto& v) {
            packAs(FoldedValues<std::decay_t<decltype(v)>>{v, pairs}, packing, dtype, begin, count, out);
        },
        values);
}

void packWeights(const ParameterValues& values, const WeightPacking& packing, DType dtype, std::uint64_t begin,
                 std::uint64_t count, std::byte* out) {
    std::visit([&](const auto& v) { packAs(v, packing, dtype, begin, count, out); }, values);
}

} // namespace spikescope
