#include "app/models/session_file.h"

#include "core/base/mapped_file.h"
#include "core/base/output_file.h"
#include "core/base/text.h"
#include "core/formats/read_report.h"
#include "core/formats/write_report.h"

#include <nlohmann/json.hpp>

#include <QBuffer>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view schema = "spikescope.session/1";
constexpr std::size_t mostRuns = 1000;
constexpr int deepest = 32; // levels of nesting

std::string base64(const QByteArray& bytes) { return bytes.toBase64().toStdString(); }
QByteArray fromBase64(const std::string& text) { return QByteArray::fromBase64(QByteArray::fromStdString(text)); }

Result<std::string> pngOf(const QImage& image) {
    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    if (!image.save(&buffer, "PNG"))
        return fail(ErrorCode::Io, "a picture of {}x{} was not encoded", image.width(), image.height());
    return base64(bytes);
}

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n'; }

Json headerOf(const SessionData& session) {
    Json controls = Json::object();
    for (const auto& [control, value] : controlValues(session.controls)) controls[control] = value;
    Json markers = Json::array();
    for (const ChartMarker& marker : session.markers)
        markers.push_back({{"event", marker.event}, {"text", marker.text.toStdString()}});
    return {{"schema", schema},
            {"controls", std::move(controls)},
            {"preset", session.preset},
            {"input",
             {{"seed", session.input.seed},
              {"path", session.input.path},
              {"key", session.input.key ? Json(*session.input.key) : Json(nullptr)},
              {"scaled", session.input.scaled},
              {"fit", session.input.fit ? Json(name(*session.input.fit)) : Json(nullptr)}}},
            {"runs", session.runs.size()},
            {"shown", session.shown},
            {"a", session.badgeA},
            {"b", session.badgeB},
            {"axis", name(session.axis)},
            {"overlays_by_layer", session.overlaysByLayer},
            {"view", {session.view.begin, session.view.end}},
            {"cursor", session.cursor == noIndex ? Json(nullptr) : Json(session.cursor)},
            {"markers", std::move(markers)},
            {"geometry", base64(session.geometry)},
            {"layout", base64(session.layout)}};
}

// Reads fields without trust: what is missing or of another type has its default.
template <class T> T field(const Json& json, const char* key, T otherwise) {
    if (!json.is_object() || !json.contains(key)) return otherwise;
    const Json& value = json[key];
    if constexpr (std::is_same_v<T, bool>)
        return value.is_boolean() ? value.get<bool>() : otherwise;
    else if constexpr (std::is_same_v<T, std::string>)
        return value.is_string() ? value.get<std::string>() : otherwise;
    else if constexpr (std::is_floating_point_v<T>)
        return value.is_number() && std::isfinite(value.get<double>()) ? value.get<T>() : otherwise;
    else
        return value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<T>::max()
                   ? static_cast<T>(value.get<std::uint64_t>())
                   : otherwise;
}

bool tooDeep(std::string_view text) {
    int depth = 0;
    bool inString = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (inString) {
            if (c == '\\') ++i;
            if (c == '"') inString = false;
        } else if (c == '"') {
            inString = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest) return true;
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return false;
}

class SessionReader {
public:
    SessionReader(std::string_view text, std::string fileName)
        : m_text(text)
        , m_fileName(std::move(fileName)) {}

    Result<std::string_view> line(std::string_view what) {
        ++m_line;
        if (m_text.empty())
            return fail(ErrorCode::BadInput, "file {}: it ends where {} should be, at line {}", quote(m_fileName), what,
                        m_line);
        const std::string_view line = m_text.substr(0, m_text.find('\n'));
        m_text.remove_prefix(std::min(line.size() + 1, m_text.size()));
        return line;
    }
    Result<Json> object(std::string_view what) {
        TRY(const std::string_view text, line(what));
        Json json = tooDeep(text) ? Json() : Json::parse(text, nullptr, false);
        if (!json.is_object())
            return fail(ErrorCode::BadInput, "file {}, line {}: {} is not a JSON object", quote(m_fileName), m_line,
                        what);
        return json;
    }
    std::size_t left() const { return m_text.size(); }

private:
    std::string_view m_text;
    std::string m_fileName;
    std::size_t m_line = 0;
};

Result<SessionData> headerFrom(const Json& json, const std::string& fileName) {
    SessionData session;
    if (field<std::string>(json, "schema", "") != schema)
        return fail(ErrorCode::BadInput, "file {}: not a session of this version", quote(fileName));
    if (json.contains("controls") && json["controls"].is_object())
        for (const auto& [control, value] : json["controls"].items()) {
            if (!value.is_string())
                return fail(ErrorCode::BadInput, "file {}: control {} has no text for a value", quote(fileName),
                            quote(control));
            const auto text = value.get<std::string>();
            if ((control == "model" || control == "size") && (text.empty() || text == "0x0"))
                continue; // not yet chosen
            auto set = setControl(session.controls, control, text);
            if (!set) return fail(ErrorCode::BadInput, "file {}: {}", quote(fileName), set.error().message);
        }
    if (auto checked = checkControls(session.controls); !checked)
        return fail(ErrorCode::BadInput, "file {}: {}", quote(fileName), checked.error().message);
    session.preset = field<std::string>(json, "preset", "");
    if (json.contains("input")) {
        const Json& input = json["input"];
        session.input = {.seed = field<std::uint64_t>(input, "seed", 7),
                         .path = field<std::string>(input, "path", ""),
                         .key = {},
                         .scaled = field<bool>(input, "scaled", true)};
        if (const auto key = field<std::string>(input, "key", ""); !key.empty()) session.input.key = key;
        session.input.fit = valueNamed<ImageFit>(field<std::string>(input, "fit", ""));
    }
    session.shown = field<std::int32_t>(json, "shown", 0);
    session.badgeA = field<std::int32_t>(json, "a", 0);
    session.badgeB = field<std::int32_t>(json, "b", 0);
    for (const AxisKind axis : {AxisKind::Time, AxisKind::Ops, AxisKind::Layers})
        if (field<std::string>(json, "axis", "") == name(axis)) session.axis = axis;
    session.overlaysByLayer = field<bool>(json, "overlays_by_layer", true);
    if (json.contains("view") && json["view"].is_array() && json["view"].size() == 2 && json["view"][0].is_number() &&
        json["view"][1].is_number()) {
        const Range view{json["view"][0].get<double>(), json["view"][1].get<double>()};
        if (std::isfinite(view.begin) && std::isfinite(view.end) && view.end > view.begin) session.view = view;
    }
    session.cursor = field<std::uint32_t>(json, "cursor", noIndex);
    if (json.contains("markers") && json["markers"].is_array())
        for (const Json& marker : json["markers"])
            session.markers.push_back(
                {.event = field<std::uint32_t>(marker, "event", noIndex),
                 .text = QString::fromStdString(field<std::string>(marker, "text", "")).left(200)});
    session.geometry = fromBase64(field<std::string>(json, "geometry", ""));
    session.layout = fromBase64(field<std::string>(json, "layout", ""));
    return session;
}

PicturePtr picturesFrom(const Json& json) {
    if (!json.contains("pictures") || !json["pictures"].is_array()) return nullptr;
    auto pictures = std::make_shared<DecodedPictures>();
    for (const Json& png : json["pictures"]) {
        if (!png.is_string()) continue;
        const QImage image = QImage::fromData(fromBase64(png.get<std::string>()), "PNG");
        if (image.isNull()) continue; // a damaged picture does not cost the run
        pictures->images.push_back(image.convertToFormat(QImage::Format_RGBX64));
        pictures->rows += static_cast<std::uint64_t>(image.height());
    }
    return pictures->images.empty() ? nullptr : pictures;
}

} // namespace

Result<void> saveSession(const SessionData& session, const std::string& path) {
    TRY(OutputFile file, OutputFile::create(path));
    CHECK(file.write(dumped(headerOf(session))));
    for (const RunEntry& run : session.runs) {
        Json about{{"label", run.label.toStdString()}, {"ticked", run.ticked}, {"pictures", Json::array()}};
        if (run.picture)
            for (const QImage& image : run.picture->images) {
                TRY(std::string png, pngOf(image));
                about["pictures"].push_back(std::move(png));
            }
        CHECK(file.write(dumped(about)));
        CHECK(file.write(reportJson(run.timeline->recording())));
        CHECK(file.write("\n"));
    }
    return file.commit();
}

Result<SessionData> readSession(const std::string& path, const std::function<bool(double)>& progress) {
    TRY(const MappedFile file, MappedFile::open(path));
    const auto bytes = file.bytes();
    SessionReader reader({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
    TRY(const Json header, reader.object("the header"));
    TRY(SessionData session, headerFrom(header, path));
    const auto count = field<std::uint64_t>(header, "runs", 0);
    if (count > mostRuns)
        return fail(ErrorCode::BadInput, "file {}: {} runs are more than {}", quote(path), count, mostRuns);
    for (std::uint64_t i = 0; i < count; ++i) {
        TRY(const Json about, reader.object(fmt::format("run {}", i + 1)));
        TRY(const std::string_view report, reader.line(fmt::format("the report of run {}", i + 1)));
        const double begin =
            1.0 - static_cast<double>(reader.left() + report.size()) / static_cast<double>(bytes.size());
        const double share = static_cast<double>(report.size()) / static_cast<double>(bytes.size());
        TRY(Recording recording,
            parseReport(report, path, [&](double part) { return !progress || progress(begin + share * part); }));
        RunEntry& run = session.runs.emplace_back();
        run.id = static_cast<int>(i) + 1;
        run.label = QString::fromStdString(field<std::string>(about, "label", "run")).left(200);
        run.ticked = field<bool>(about, "ticked", false);
        run.timeline = std::make_shared<const Timeline>(std::move(recording));
        run.picture = picturesFrom(about);
    }
    const auto known = [&](int id) { return id > 0 && id <= static_cast<int>(session.runs.size()) ? id : 0; };
    session.shown = known(session.shown);
    session.badgeA = known(session.badgeA);
    session.badgeB = known(session.badgeB);
    return session;
}

} // namespace spikescope
