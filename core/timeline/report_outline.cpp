#include "core/timeline/report_outline.h"

#include <algorithm>
#include <utility>

namespace spikescope {

namespace {

// All that is ever looked up; a field stands after the object that has it.
constexpr std::array<std::string_view, ReportOutline::fieldCount> paths{
    "schema",
    "kind",
    "device",
    "device.name",
    "device.driver",
    "device.kernels",
    "device.heap_bytes",
    "tiling",
    "refusals",
    "host_peak_bytes",
    "duration_ms",
    "load_ms",
    "predicted",
    "predicted.allocated_bytes",
    "predicted.reserved_bytes",
    "failure",
    "failure.code",
    "failure.message",
    "failure.layer",
    "failure.tensor",
    "failure.bytes_wanted",
    "failure.bytes_free",
    "failure.event",
    "failure.fits",
    "recording",
    "recording.controls",
    "recording.controls.columns",
    "recording.controls.rows",
    "recording.layers",
    "recording.tensors",
    "recording.tensors.columns",
    "recording.tensors.rows",
    "recording.ops",
    "recording.ops.columns",
    "recording.ops.rows",
    "recording.repeated",
    "recording.repeated.columns",
    "recording.repeated.rows",
    "recording.parts",
    "recording.parts.columns",
    "recording.parts.rows",
    "recording.events",
    "recording.events.columns",
    "recording.events.rows",
    "recording.samples",
    "recording.samples.columns",
    "recording.samples.rows",
    "recording.barriers",
    "recording.barriers.columns",
    "recording.barriers.rows",
};

constexpr std::size_t rootField = paths.size(), noField = rootField + 1;

constexpr std::size_t indexOf(std::string_view path) {
    return static_cast<std::size_t>(std::ranges::find(paths, path) - paths.begin());
}

struct Place {
    std::size_t parent = rootField;
    std::string_view key;
};

constexpr std::array<Place, paths.size()> places = [] {
    std::array<Place, paths.size()> all;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        const std::size_t dot = paths[i].rfind('.');
        const bool top = dot == std::string_view::npos;
        all[i] = {top ? rootField : indexOf(paths[i].substr(0, dot)), top ? paths[i] : paths[i].substr(dot + 1)};
    }
    return all;
}();

bool isInside(const JsonToken& token, const JsonToken& container) {
    return token.text.data() > container.text.data() &&
           token.text.data() + token.text.size() < container.text.data() + container.text.size();
}

} // namespace

class ReportOutline::Scanner {
public:
    Scanner(ReportOutline& outline, std::string_view text, ProgressMeter& progress)
        : m_outline(outline)
        , m_text(text)
        , m_progress(progress) {}

    bool key(const JsonToken& token) {
        m_named = noField;
        const std::size_t inside = m_open[m_depth];
        if (inside == noField) return true;
        const std::string decoded = token.escaped ? unescaped(token) : std::string();
        const std::string_view key = token.escaped ? std::string_view(decoded) : token.text;
        for (std::size_t i = 0; i < places.size(); ++i)
            if (places[i].parent == inside && places[i].key == key) m_named = i;
        return true;
    }

    bool value(const JsonToken& token) {
        const std::size_t field = std::exchange(m_named, noField); // items of arrays have no key
        if (field != noField) m_outline.m_fields[field] = token;   // of equal keys the last counts
        if (token.isContainer()) m_open[++m_depth] = field;
        const auto at = static_cast<std::size_t>(token.text.data() - m_text.data());
        return m_progress.advance(at - std::exchange(m_at, at));
    }

    bool closed(const JsonToken& token) {
        const std::size_t field = m_open[m_depth--];
        if (field != noField) m_outline.m_fields[field] = token;
        return true;
    }

private:
    ReportOutline& m_outline;
    std::string_view m_text;
    ProgressMeter& m_progress;
    std::array<std::size_t, JsonCursor::deepestNesting> m_open{rootField}; // the containers around, as fields
    std::size_t m_depth = 0;
    std::size_t m_at = 0;
    std::size_t m_named = noField; // what the key before this value names
};

Result<ReportOutline> ReportOutline::read(std::string_view text, const std::string& fileName, ProgressMeter& progress) {
    ReportOutline outline;
    const bool marked = text.starts_with("\xef\xbb\xbf"); // as some editors begin UTF-8
    JsonCursor cursor(text, marked ? 3 : 0);
    Scanner scanner(outline, text, progress);
    const bool whole = cursor.value(outline.m_root) &&
                       (!outline.m_root.isContainer() || cursor.walk(outline.m_root, scanner)) && cursor.end();
    if (whole) return outline;
    if (cursor.broken()) return cursor.error(fileName);
    return fail(ErrorCode::Cancelled, "cancelled");
}

const JsonToken* ReportOutline::find(std::string_view path) const {
    const std::size_t found = indexOf(path);
    // An object may have been replaced by a later one of its name; then what was found in it is gone.
    for (std::size_t field = found; field != rootField; field = places[field].parent) {
        const std::size_t parent = places[field].parent;
        if (m_fields[field].text.data() == nullptr) return nullptr;
        if (!isInside(m_fields[field], parent == rootField ? m_root : m_fields[parent])) return nullptr;
    }
    return &m_fields[found];
}

} // namespace spikescope
