#include "app/widgets/cursor_bar.h"

#include "app/widgets/chart_legend.h"
#include "app/widgets/elided_label.h"
#include "app/widgets/theme.h"

#include <QEvent>
#include <QPainter>

#include <algorithm>

namespace spikescope {

namespace {

constexpr int gapBetween = 16, gapInside = 5, swatchWidth = 11, lineWidth = 22;
constexpr int sideMargin = 10, topMargin = 4, bottomMargin = 6, gapRows = 3;

} // namespace

ValueStrip::ValueStrip(QWidget* parent)
    : QWidget(parent) {}

void ValueStrip::setItems(std::vector<Item> items) {
    m_items = std::move(items);
    QStringList words;
    for (const Item& item : m_items) words << item.name + QLatin1Char(' ') + item.value;
    setAccessibleDescription(words.join(QStringLiteral(", ")));
    // Every value, for where there is too little room, and what the words mean.
    setToolTip(words.isEmpty()
                   ? QString()
                   : QStringLiteral("At the cursor: %1<br><b>allocated</b>: bytes of live tensors; the coloured parts "
                                    "sum to it<br><b>reserved</b>: bytes held from the driver<br><b>cached</b>: "
                                    "reserved less allocated<br><b>plan − shown</b>: what the plan has allocated at "
                                    "this place, less what is allocated here")
                         .arg(words.join(QStringLiteral(", ")).toHtmlEscaped()));
    update();
}

int ValueStrip::rowsFor(int width) const { return rows(nullptr, width); }

int ValueStrip::rows(QPainter* painter, int all) const {
    QFont bold = font();
    bold.setBold(true);
    const QFontMetrics plainMetrics(font()), boldMetrics(bold);
    int x = 0, row = 0;
    for (const Item& item : m_items) {
        const int mark = item.swatch.isValid()            ? swatchWidth + gapInside
                         : item.line.style() != Qt::NoPen ? lineWidth + gapInside
                                                          : 0;
        const int nameWidth = item.name.isEmpty() ? 0 : plainMetrics.horizontalAdvance(item.name) + gapInside;
        const int width = std::min(mark + nameWidth + boldMetrics.horizontalAdvance(item.value), all);
        if (x > 0 && x + width > all) {
            if (painter && (row + 2) * rowHeight() > height()) {
                painter->setFont(bold);
                painter->setPen(chartColours().text);
                painter->drawText(QRect(x - gapBetween + gapInside, row * rowHeight(), gapBetween, rowHeight()),
                                  Qt::AlignLeft | Qt::AlignVCenter, QStringLiteral("…"));
                break;
            }
            x = 0;
            ++row;
        }
        if (painter) {
            const QRect area(x, row * rowHeight(), width, rowHeight());
            if (item.swatch.isValid())
                painter->fillRect(QRect(x, area.center().y() - swatchWidth / 2, swatchWidth, swatchWidth), item.swatch);
            if (item.line.style() != Qt::NoPen) {
                painter->setPen(item.line);
                painter->drawLine(x, area.center().y(), x + lineWidth, area.center().y());
            }
            painter->setFont(font());
            painter->setPen(chartColours().dimText);
            painter->drawText(area.adjusted(mark, 0, 0, 0), Qt::AlignLeft | Qt::AlignVCenter, item.name);
            painter->setFont(bold);
            painter->setPen(chartColours().text);
            const QRect rest = area.adjusted(mark + nameWidth, 0, 0, 0);
            // Its width was measured in whole pixels: what fits exactly is not to be cut.
            painter->drawText(rest.adjusted(0, 0, 2, 0), Qt::AlignLeft | Qt::AlignVCenter,
                              boldMetrics.elidedText(item.value, Qt::ElideMiddle, rest.width() + 2));
        }
        x += width + gapBetween;
    }
    return row + 1;
}

void ValueStrip::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    rows(&painter, width());
}

CursorBar::CursorBar(Workspace& workspace, QWidget* parent)
    : QWidget(parent)
    , m_workspace(workspace)
    , m_values(new ValueStrip(this))
    , m_sentence(new ElidedLabel(this)) {
    m_values->setAccessibleName(QStringLiteral("Values at the cursor"));
    m_sentence->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_sentence->setAccessibleName(QStringLiteral("Why memory is what it is here"));
    m_sentence->setObjectName(QStringLiteral("explanation"));
    connect(&workspace, &Workspace::cursorChanged, this, &CursorBar::refresh);
    connect(&workspace, &Workspace::adviceChanged, this, &CursorBar::refresh);
}

int CursorBar::stripRows(int width) {
    if (m_neededFor != width) m_neededRows = 1;
    m_neededFor = width;
    m_neededRows = std::max(m_neededRows, m_values->rowsFor(width - 2 * sideMargin));
    return m_neededRows;
}

int CursorBar::heightFor(int stripRows, int sentenceLines) const {
    const int sentence = sentenceLines * m_sentence->fontMetrics().lineSpacing();
    return topMargin + stripRows * m_values->rowHeight() + (sentence ? gapRows + sentence : 0) + bottomMargin;
}

void CursorBar::setRows(int stripRows, int sentenceLines) {
    m_stripRows = stripRows;
    m_sentenceLines = sentenceLines;
    place();
}

void CursorBar::place() {
    const int inside = std::max(0, width() - 2 * sideMargin), strip = m_stripRows * m_values->rowHeight();
    m_values->setGeometry(sideMargin, topMargin, inside, strip);
    m_sentence->setVisible(m_sentenceLines > 0);
    m_sentence->setGeometry(sideMargin, topMargin + strip + gapRows, inside,
                            std::max(1, m_sentenceLines) * m_sentence->fontMetrics().lineSpacing());
}

void CursorBar::resizeEvent(QResizeEvent*) { place(); }

void CursorBar::changeEvent(QEvent* event) {
    if (event->type() == QEvent::PaletteChange) refresh(); // swatches and pens are kept
    QWidget::changeEvent(event);
}

std::vector<ValueStrip::Item> CursorBar::values(const Timeline& timeline, std::uint32_t event) const {
    const Recording& recording = timeline.recording();
    const Event& e = recording.events[event];
    const std::uint64_t allocated = timeline.allocated().value(event), reserved = timeline.reserved().value(event);
    std::vector<ValueStrip::Item> items;
    const auto add = [&](const QString& name, const QString& value, const QColor& swatch = {},
                         const QPen& line = QPen(Qt::NoPen)) {
        items.push_back({.swatch = swatch, .line = line, .name = name, .value = value});
    };
    if (timeline.timed()) add(QStringLiteral("t"), timeLabel(static_cast<double>(recording.timeNs(e)), 1e3));
    if (e.op < recording.ops.size()) {
        const RecordedOp& op = recording.ops[e.op];
        add(QStringLiteral("op %1 %2").arg(e.op).arg(textOf(op.name)), textOf(layerName(recording, op.layer)));
    }
    add(QStringLiteral("allocated"), bytesText(allocated));
    for (std::size_t i = 0; i < categoryCount; ++i) {
        const auto category = static_cast<Category>(i);
        const std::uint64_t bytes = timeline.breakdown(event)[i];
        if (bytes || timeline.peak().byCategory[i]) add(textOf(name(category)), bytesText(bytes), areaColour(category));
    }
    add(QStringLiteral("reserved"), bytesText(reserved), {}, reservedPen());
    add(QStringLiteral("cached"), bytesText(reserved - std::min(reserved, allocated)));
    if (const auto there = ghostAt(m_workspace.scene(), event))
        add(QStringLiteral("plan − shown"),
            differenceText(static_cast<std::int64_t>(*there) - static_cast<std::int64_t>(allocated)), {}, planPen());
    return items;
}

void CursorBar::refresh() {
    const TimelinePtr timeline = m_workspace.shown();
    const std::uint32_t event = m_workspace.cursor();
    const bool any = timeline && event < timeline->eventCount();
    m_values->setItems(any ? values(*timeline, event) : std::vector<ValueStrip::Item>());
    m_sentence->setFullText(m_workspace.explanation());
    if (const int before = m_neededRows; stripRows(width()) != before) Q_EMIT rowsChanged();
}

} // namespace spikescope
