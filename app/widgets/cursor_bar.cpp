#include "app/widgets/cursor_bar.h"

#include "app/widgets/theme.h"

#include <QPainter>
#include <QResizeEvent>
#include <QVBoxLayout>

namespace spikescope {

namespace {

constexpr int gapBetween = 16, gapInside = 5, swatchWidth = 11, lineWidth = 22;

} // namespace

ValueStrip::ValueStrip(QWidget* parent)
    : QWidget(parent) {
    setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
}

void ValueStrip::setItems(std::vector<Item> items) {
    m_items = std::move(items);
    QStringList words;
    for (const Item& item : m_items) words << item.name + QLatin1Char(' ') + item.value;
    setAccessibleDescription(words.join(QStringLiteral(", ")));
    settle();
    update();
}

QSize ValueStrip::sizeHint() const { return {400, m_rows * (fontMetrics().height() + 3)}; }

void ValueStrip::settle() {
    const int wanted = std::max(m_rows, rows(nullptr));
    if (wanted == m_rows) return;
    m_rows = wanted;
    updateGeometry();
}

void ValueStrip::resizeEvent(QResizeEvent* event) {
    if (event->size().width() != event->oldSize().width()) m_rows = 2;
    settle();
}

int ValueStrip::rows(QPainter* painter) const {
    QFont bold = font();
    bold.setBold(true);
    const QFontMetrics plainMetrics(font()), boldMetrics(bold);
    const int rowHeight = plainMetrics.height() + 3;
    int x = 0, row = 0;
    for (const Item& item : m_items) {
        const int mark = item.swatch.isValid()            ? swatchWidth + gapInside
                         : item.line.style() != Qt::NoPen ? lineWidth + gapInside
                                                          : 0;
        const int nameWidth = item.name.isEmpty() ? 0 : plainMetrics.horizontalAdvance(item.name) + gapInside;
        const int width = mark + nameWidth + boldMetrics.horizontalAdvance(item.value);
        if (x > 0 && x + width > this->width()) {
            x = 0;
            ++row;
        }
        if (painter) {
            const QRect area(x, row * rowHeight, width, rowHeight);
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
            painter->drawText(area.adjusted(mark + nameWidth, 0, 0, 0), Qt::AlignLeft | Qt::AlignVCenter, item.value);
        }
        x += width + gapBetween;
    }
    return row + 1;
}

void ValueStrip::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    rows(&painter);
}

CursorBar::CursorBar(Workspace& workspace, QWidget* parent)
    : QWidget(parent)
    , m_workspace(workspace)
    , m_values(new ValueStrip(this))
    , m_sentence(new QLabel(this)) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(10, 4, 10, 6);
    layout->setSpacing(3);
    layout->addWidget(m_values);
    layout->addWidget(m_sentence);
    m_values->setAccessibleName(QStringLiteral("Values at the cursor"));
    m_values->setToolTip(
        QStringLiteral("<b>allocated</b>: bytes of live tensors; the coloured parts sum to it<br>"
                       "<b>reserved</b>: bytes held from the driver<br>"
                       "<b>cached</b>: reserved less allocated<br>"
                       "<b>Δ plan</b>: the plan of the controls as they stand, less what is shown, at the same place"));
    m_sentence->setTextFormat(Qt::PlainText);
    m_sentence->setWordWrap(true);
    m_sentence->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_sentence->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    m_sentence->setAccessibleName(QStringLiteral("Why memory is what it is here"));
    m_sentence->setObjectName(QStringLiteral("explanation"));
    // Two lines of text, whatever it says: a chart that changes its height is hard to look at.
    m_sentence->setMinimumHeight(2 * m_sentence->fontMetrics().lineSpacing());
    m_sentence->setMaximumHeight(4 * m_sentence->fontMetrics().lineSpacing());
    connect(&workspace, &Workspace::cursorChanged, this, &CursorBar::refresh);
    connect(&workspace, &Workspace::adviceChanged, this, &CursorBar::refresh);
}

void CursorBar::showHover(std::uint32_t event) {
    m_hover = event;
    refresh();
}

std::vector<ValueStrip::Item> CursorBar::values(const Timeline& timeline, std::uint32_t event) const {
    const Recording& recording = timeline.recording();
    const Event& e = recording.events[event];
    const std::uint64_t allocated = timeline.allocated().value(event), reserved = timeline.reserved().value(event);
    const ChartScene& scene = m_workspace.scene();
    const ChartColours& colours = chartColours();
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
        if (bytes || timeline.peak().byCategory[i])
            add(textOf(name(category)), bytesText(bytes), categoryColour(category));
    }
    add(QStringLiteral("reserved"), bytesText(reserved), {}, QPen(colours.ink, 1.5));
    add(QStringLiteral("cached"), bytesText(reserved - std::min(reserved, allocated)));
    if (scene.ghost) {
        const std::uint32_t other = eventAt(*scene.ghost, scene.shown.events[event]);
        if (other != noIndex) {
            const std::uint64_t there = scene.ghost->timeline->allocated().value(other);
            add(QStringLiteral("Δ plan"),
                differenceText(static_cast<std::int64_t>(there) - static_cast<std::int64_t>(allocated)), {},
                QPen(colours.ghost, 2, Qt::DashLine));
        }
    }
    for (const OverlayCurve& overlay : scene.overlays)
        add(overlay.label + QStringLiteral(" peak"), bytesText(overlay.placed.timeline->peak().allocated), {},
            overlay.run == 0 ? QPen(colours.dimText, 1.5, Qt::DotLine)
                             : QPen(overlayColour(overlay.run), 2, overlayDashes(overlay.run)));
    return items;
}

void CursorBar::refresh() {
    const TimelinePtr timeline = m_workspace.shown();
    const std::uint32_t event = m_hover != noIndex ? m_hover : m_workspace.cursor();
    const bool any = timeline && event < timeline->eventCount();
    m_values->setItems(any ? values(*timeline, event) : std::vector<ValueStrip::Item>());
    if (m_hover != noIndex) return; // the sentence is about the cursor
    const QString text = m_workspace.explanation();
    if (text == m_sentence->text()) return;
    m_sentence->setText(text);
    m_sentence->setToolTip(plainTip(text)); // where there is too little room
}

} // namespace spikescope
