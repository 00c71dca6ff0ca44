#pragma once
// Where output goes: rows arrive from the top, image after image, so that no sink holds all of it.

#include "core/io/picture.h"
#include "core/model/family.h"
#include "core/tensors/safetensors_writer.h"

#include <memory>

namespace spikescope {

struct OutputShape {
    std::uint64_t n = 1, h = 0, w = 0, c = 0;
};

class OutputSink {
public:
    virtual ~OutputSink() = default;
    // `rows` rows of picture n from row y on, [rows][w][c], finite or not.
    virtual Result<void> write(std::uint64_t n, std::uint64_t y, std::uint64_t rows, std::span<const float> values) = 0;
    virtual Result<void> commit() = 0; // after the last row: the files appear
};

// The path of image `picture` of so many: with several, each has its number before the suffix.
std::string pngPath(const std::string& path, std::uint64_t picture, std::uint64_t pictures);
// PNG of a decode, under the names of pngPath(). `backbone` decides the range of values.
Result<std::unique_ptr<OutputSink>> pngSink(const std::string& path, Backbone backbone, OutputShape shape,
                                            int bitDepth);
// Safetensors with key "decoded", or "mean" (and "logvar" where the moments are twice the latent channels), NCHW.
Result<std::unique_ptr<OutputSink>> tensorSink(const std::string& path, VaeTask op, const Family& family,
                                               OutputShape shape);

} // namespace spikescope
