#pragma once
// PNG in and out. Values are the file's code values divided by the largest one: no gamma, no colour profile.

#include "core/base/error.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace spikescope {

struct Picture {
    std::uint32_t width = 0; // pixels
    std::uint32_t height = 0;
    std::vector<float> rgb; // height × width × 3, in [0,1]
};

bool isPngName(const std::string& path); // by its suffix

// Any PNG: gray is spread over the three channels, a palette is looked up, 16 bits are kept. Transparency is dropped,
// not composed: the colours are those stored under it. BadInput for anything damaged, more than 65536 pixels along a
// side, or more than 2^28 in all.
[[nodiscard]] Result<Picture> readPng(const std::string& path);

// Writes rows from the top; the file appears at commit() or not at all.
class PngWriter {
public:
    // bitDepth is 8 or 16, per channel; sides are 1 to 65536 pixels. Anything else is BadUsage.
    [[nodiscard]] static Result<PngWriter> create(const std::string& path, std::uint32_t width, std::uint32_t height,
                                                  int bitDepth);

    PngWriter(PngWriter&&) noexcept;
    PngWriter& operator=(PngWriter&&) noexcept;
    ~PngWriter();

    // Whole rows, each width × 3 values. They are clamped to [0,1] and rounded to the nearest code; NaN becomes 0.
    [[nodiscard]] Result<void> writeRows(std::span<const float> rgb);

    // Refused, and nothing appears, while rows are missing.
    [[nodiscard]] Result<void> commit();

private:
    struct State;
    explicit PngWriter(std::unique_ptr<State> state);

    std::unique_ptr<State> m_state;
};

} // namespace spikescope
