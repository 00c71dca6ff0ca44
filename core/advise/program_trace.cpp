#include "core/advise/program_trace.h"

namespace spikescope {

Result<void> Tracer::add(TraceItem item) {
    for (; m_seen < m_recording.events.size(); ++m_seen) {
        const Event& event = m_recording.events[m_seen];
        const bool reserve = event.kind == EventKind::Reserve;
        if (event.space == hostSpace || (!reserve && event.kind != EventKind::Return)) continue;
        m_items.push_back({.kind = reserve ? TraceItem::Kind::Reserve : TraceItem::Kind::Return,
                           .op = event.op,
                           .bytes = event.bytes});
    }
    m_items.push_back(item);
    return {};
}

Result<void> Tracer::fill(const FillStep&, std::uint32_t op) { return add({.op = op}); }
Result<void> Tracer::upload(const UploadStep& step, std::uint32_t op) {
    return add({.op = op, .bytes = m_program.tensor(step.tensor).bytes});
}
Result<void> Tracer::download(const DownloadStep& step, std::uint32_t op) {
    const Tensor& tensor = m_program.tensor(step.output.tensor);
    return add({.op = op, .bytes = tensor.bytes / tensor.shape.h * step.output.rows});
}
Result<void> Tracer::dispatch(std::uint32_t call, bool, std::uint32_t op) { return add({.op = op, .call = call}); }
Result<void> Tracer::evaluate(std::uint32_t ahead) {
    return add(
        {.kind = TraceItem::Kind::Wait, .op = static_cast<std::uint32_t>(m_recording.ops.size()), .ahead = ahead});
}

} // namespace spikescope
