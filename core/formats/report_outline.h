#pragma once
// The first pass over a report: all of it is checked to be JSON within the limits, and where the fields stand that
// readReport() asks for is written down. Tables stay text, so fields can be looked up in any order at no cost.

#include "core/formats/json_cursor.h"
#include "core/formats/read_progress.h"

#include <vector>

namespace spikescope {

class ReportOutline {
public:
    // Progress counts bytes of the text.
    [[nodiscard]] static Result<ReportOutline> read(std::string_view text, const std::string& fileName,
                                                    ProgressMeter& progress);

    const JsonToken& root() const { return m_root; }
    // A field by its path, "recording.events.rows"; null where the file has none.
    const JsonToken* find(std::string_view path) const;

private:
    class Scanner;

    JsonToken m_root;
    std::vector<JsonToken> m_fields; // `text` is empty where the field is missing
};

} // namespace spikescope
