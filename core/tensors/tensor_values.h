#pragma once
// The elements of a tensor in a file as float32, in row-major order, whatever its number format, strides and byte
// order.

#include "core/base/float_convert.h"
#include "core/tensors/tensor_view.h"

#include <cstring>
#include <memory>

namespace spikescope {

class TensorValues {
public:
    // The tensor has a number format that can be read, and `data` is all of its bytes, which must outlive this.
    TensorValues(const TensorView& tensor, std::span<const std::byte> data)
        : m_data(data.data())
        , m_type(*tensor.stored)
        , m_size(sizeOf(m_type))
        , m_bigEndian(tensor.bigEndian) {
        if (!tensor.strides.empty()) m_layout = std::make_shared<const Layout>(Layout{tensor.shape, tensor.strides});
    }

    // Each run of as many elements is multiplied with one of the factors, in turn.
    void scale(std::vector<float> factors, std::uint64_t elementsEach) {
        m_factors = std::make_shared<const std::vector<float>>(std::move(factors));
        m_elementsEach = elementsEach;
    }

    float operator[](std::uint64_t index) const {
        const float value = load(m_data + (m_layout ? m_layout->place(index) : index) * m_size);
        return m_factors ? value * (*m_factors)[index / m_elementsEach] : value;
    }

private:
    struct Layout {
        std::vector<std::uint64_t> shape, strides;
        std::uint64_t place(std::uint64_t index) const {
            std::uint64_t at = 0;
            for (std::size_t axis = shape.size(); axis-- > 0; index /= shape[axis])
                at += index % shape[axis] * strides[axis];
            return at;
        }
    };

    template <class Bits> Bits bitsAt(const std::byte* at) const {
        Bits bits;
        std::memcpy(&bits, at, sizeof bits);
        if (!m_bigEndian) return bits;
        if constexpr (sizeof bits == 2) return __builtin_bswap16(bits);
        if constexpr (sizeof bits == 4) return __builtin_bswap32(bits);
        if constexpr (sizeof bits == 8) return __builtin_bswap64(bits);
        return bits;
    }
    float load(const std::byte* at) const {
        switch (m_type) {
        case StoredType::F64: return nearestFloat(std::bit_cast<double>(bitsAt<std::uint64_t>(at)));
        case StoredType::F32: return std::bit_cast<float>(bitsAt<std::uint32_t>(at));
        case StoredType::F16: return fp16ToFloat(bitsAt<std::uint16_t>(at));
        case StoredType::BF16: return bf16ToFloat(bitsAt<std::uint16_t>(at));
        case StoredType::F8E4M3: return fp8E4M3ToFloat(std::to_integer<std::uint8_t>(*at));
        case StoredType::F8E5M2: break;
        }
        return fp8E5M2ToFloat(std::to_integer<std::uint8_t>(*at));
    }

    const std::byte* m_data;
    StoredType m_type;
    std::uint64_t m_size, m_elementsEach = 1;
    bool m_bigEndian;
    std::shared_ptr<const Layout> m_layout; // none for row-major order
    std::shared_ptr<const std::vector<float>> m_factors;
};

} // namespace spikescope
