#pragma once
// Keeps what a run makes for the window, while it is made.

#include "app/engine/picture.h"
#include "core/io/sinks.h"

namespace spikescope {

class PreviewSink final : public OutputSink {
public:
    // Fails when the pictures do not fit into memory.
    static Result<std::unique_ptr<PreviewSink>> create(const Family& family, VaeTask op, OutputShape shape);

    Result<void> write(std::uint64_t n, std::uint64_t y, std::uint64_t rows, std::span<const float> values) override;
    Result<void> commit() override { return {}; }

    PicturePtr pictures() const; // so far; null of an encode
    std::shared_ptr<const Moments> moments() const { return m_moments; }

private:
    PreviewSink(const Family& family, OutputShape shape)
        : m_family(family)
        , m_shape(shape) {}

    Family m_family;
    OutputShape m_shape;
    DecodedPictures m_pictures;
    std::shared_ptr<Moments> m_moments;
};

} // namespace spikescope
