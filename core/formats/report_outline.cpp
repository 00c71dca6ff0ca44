#include "core/formats/report_outline.h"

#include "core/formats/report_schema.h"

#include <algorithm>
#include <utility>

namespace spikescope {

namespace {

constexpr std::size_t rootField = static_cast<std::size_t>(-1), noField = rootField - 1;

struct Place {
    std::size_t parent = rootField;
    std::string_view key;
};

// All places of the schema; one stands after the object that has it.
struct Places {
    std::array<Place, 128> all{};
    std::size_t count = 0;

    constexpr std::size_t find(std::size_t parent, std::string_view key) const {
        for (std::size_t i = 0; i < count; ++i)
            if (all[i].parent == parent && all[i].key == key) return i;
        return noField;
    }
    constexpr std::size_t add(std::size_t parent, std::string_view key) {
        const std::size_t known = find(parent, key);
        if (known != noField) return known;
        all[count] = {parent, key};
        return count++;
    }
    // Calls step(parent, key) from the root down; it gives the next parent.
    template <class Step> static constexpr std::size_t follow(std::string_view path, Step&& step) {
        std::size_t at = rootField;
        while (!path.empty() && at != noField) {
            const std::size_t dot = std::min(path.find('.'), path.size());
            at = step(at, path.substr(0, dot));
            path.remove_prefix(std::min(dot + 1, path.size()));
        }
        return at;
    }
    constexpr std::size_t add(std::string_view path) {
        return follow(path, [&](std::size_t parent, std::string_view key) { return add(parent, key); });
    }
};

constexpr Places places = [] {
    Places made;
    made.add("schema");
    const auto addObject = [&](const auto& object) {
        const std::size_t at = made.add(object.path);
        std::apply([&](const auto&... fields) { (made.add(at, fields.name), ...); }, object.fields);
    };
    const auto addTable = [&](const auto& table) {
        const std::size_t at = made.add(table.path);
        made.add(at, "columns");
        made.add(at, "rows");
    };
    std::apply([&](const auto&... objects) { (addObject(objects), ...); }, report::allObjects);
    std::apply([&](const auto&... tables) { (addTable(tables), ...); }, report::allTables);
    return made;
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
        m_named = places.find(inside, key);
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
    outline.m_fields.resize(places.count);
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
    const std::size_t found =
        Places::follow(path, [](std::size_t parent, std::string_view key) { return places.find(parent, key); });
    if (found == noField) return nullptr;
    // An object may have been replaced by a later one of its name; then what was found in it is gone.
    for (std::size_t field = found; field != rootField; field = places.all[field].parent) {
        const std::size_t parent = places.all[field].parent;
        if (m_fields[field].text.data() == nullptr) return nullptr;
        if (!isInside(m_fields[field], parent == rootField ? m_root : m_fields[parent])) return nullptr;
    }
    return &m_fields[found];
}

} // namespace spikescope
