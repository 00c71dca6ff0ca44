#include "app/models/control_list.h"

#include <algorithm>

namespace spikescope {

namespace {

QStringList words(std::string_view text) {
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()))
        .split(QLatin1Char(' '), Qt::SkipEmptyParts);
}

QStringList choicesOf(const ControlInfo& info) {
    if (info.name == "model") {
        QStringList names;
        for (const Family& family : families()) names << QString::fromUtf8(family.name.data());
        return names;
    }
    if (info.name == "op") return {"decode", "encode"};
    if (info.name == "size")
        return {"256x256",   "512x512",   "768x768",   "1024x1024", "1536x1536",
                "1536x2304", "2048x2048", "4096x4096", "8192x8192"};
    if (info.name == "batch") return {"1", "2", "4", "8"};
    if (info.name == "repeat") return {"1", "2", "10"};
    if (info.name == "weights") return {"synthetic:7"};
    if (info.name == "device") return {"", "cpu"};
    if (info.name == "budget") return {"device", "4", "6", "8", "12", "16", "24", "32", "48", "80", "141"};
    if (info.name == "enforce") return {"off", "on"};
    if (info.name == "resident") return {"0", "text=9", "text=9,transformer=23"};
    QStringList choices = words(info.flips);
    // What advice never tries, because it is only another name for one of the others.
    if (info.name == "evaluate" || info.name == "allocator") choices.prepend("auto");
    return choices;
}

} // namespace

std::vector<ControlGroup> controlGroups() {
    struct Layout {
        const char* title;
        std::vector<std::string_view> names;
    };
    static const std::vector<Layout> layout{
        {"Model", {"model", "weights", "op", "size", "batch", "repeat"}},
        {"Precision", {"activations", "weights-dtype", "promote"}},
        {"When memory returns", {"lifetime", "evaluate", "ahead", "hold"}},
        {"How layers run", {"conv", "upsample", "norm", "attention", "layout-copies"}},
        {"Loading", {"load", "apply", "resident", "offload"}},
        {"Memory", {"allocator", "budget", "enforce", "device"}},
    };
    static const std::array typed{"weights", "size",     "batch",     "repeat", "evaluate", "ahead",
                                  "conv",    "resident", "allocator", "budget", "device"};
    std::vector<ControlGroup> groups;
    std::vector<std::string_view> placed;
    const auto entryOf = [](const ControlInfo& info) {
        return ControlEntry{.name = std::string(info.name),
                            .help = QStringLiteral("<b>%1</b><br>%2<br><i>%3</i>")
                                        .arg(QString::fromUtf8(info.name.data()),
                                             QString::fromUtf8(info.help.data()).toHtmlEscaped(),
                                             QString::fromUtf8(info.values.data()).toHtmlEscaped()),
                            .choices = choicesOf(info),
                            .free = std::ranges::find(typed, info.name) != typed.end()};
    };
    for (const Layout& part : layout) {
        ControlGroup& group = groups.emplace_back(ControlGroup{.title = QString::fromUtf8(part.title), .entries = {}});
        for (const std::string_view wanted : part.names)
            for (const ControlInfo& info : controlTable())
                if (info.name == wanted) {
                    group.entries.push_back(entryOf(info));
                    placed.push_back(wanted);
                }
    }
    // A control that came later shows up without anyone remembering this list.
    ControlGroup rest{.title = QStringLiteral("More"), .entries = {}};
    for (const ControlInfo& info : controlTable())
        if (std::ranges::find(placed, info.name) == placed.end()) rest.entries.push_back(entryOf(info));
    if (!rest.entries.empty()) groups.push_back(std::move(rest));
    return groups;
}

} // namespace spikescope
