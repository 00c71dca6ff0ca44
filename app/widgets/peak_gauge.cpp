#include "app/widgets/peak_gauge.h"

#include "app/widgets/chart_legend.h"
#include "app/widgets/rich_text.h"
#include "app/widgets/theme.h"
#include "core/base/text.h"

#include <QEvent>
#include <QPainter>
#include <QVBoxLayout>

namespace spikescope {

// The parts of the peak as they stand in the chart, then what is reserved beyond them; a line where the budget ends.
class PeakGauge::Bar final : public QWidget {
public:
    using QWidget::QWidget;
    QSize sizeHint() const override { return {200, 18}; }

    Peak peak;
    std::optional<std::uint64_t> availableBytes;

protected:
    void paintEvent(QPaintEvent*) override {
        QPainter painter(this);
        const ChartColours& colours = chartColours();
        const QRectF box = QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5);
        painter.fillRect(box, colours.plot);
        const double most = std::max<double>({static_cast<double>(peak.reserved),
                                              static_cast<double>(availableBytes.value_or(0)), 1.0}) *
                            1.02;
        const auto at = [&](double bytes) { return box.left() + bytes / most * box.width(); };
        double sum = 0.0;
        const auto part = [&](double bytes, const QColor& colour) {
            painter.fillRect(QRectF(QPointF(at(sum), box.top()), QPointF(at(sum + bytes), box.bottom())), colour);
            sum += bytes;
        };
        for (std::size_t i = 0; i < categoryCount; ++i)
            part(static_cast<double>(peak.byCategory[i]), areaColour(static_cast<Category>(i)));
        if (static_cast<double>(peak.reserved) > sum) {
            QColor cached = colours.dimText;
            cached.setAlpha(90);
            part(static_cast<double>(peak.reserved) - sum, cached);
        }
        if (availableBytes) {
            painter.setPen(QPen(colours.budget, 2));
            painter.drawLine(QPointF(at(static_cast<double>(*availableBytes)), box.top()),
                             QPointF(at(static_cast<double>(*availableBytes)), box.bottom()));
        }
        painter.setPen(palette().color(QPalette::Mid));
        painter.drawRect(box);
    }
};

PeakGauge::PeakGauge(Workspace& workspace, QWidget* parent)
    : QWidget(parent)
    , m_workspace(workspace)
    , m_peak(new QLabel(this))
    , m_change(new QLabel(this))
    , m_measured(new QLabel(this))
    , m_bar(new Bar(this))
    , m_fits(new QLabel(this)) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(10, 8, 10, 8);
    layout->setSpacing(4);
    for (QWidget* part : std::initializer_list<QWidget*>{m_peak, m_change, m_bar, m_fits, m_measured})
        layout->addWidget(part);
    for (QLabel* label : {m_peak, m_change, m_fits, m_measured}) label->setWordWrap(true);
    m_peak->setObjectName(QStringLiteral("predictedPeak"));
    m_peak->setAccessibleName(QStringLiteral("Predicted peak of these controls"));
    m_change->setAccessibleName(QStringLiteral("What the last change did"));
    m_measured->setObjectName(QStringLiteral("measured"));
    m_measured->setAccessibleName(QStringLiteral("Predicted against measured"));
    m_measured->hide();
    connect(&workspace, &Workspace::sceneChanged, this, &PeakGauge::refreshMeasured);
    connect(&workspace, &Workspace::planChanged, this, &PeakGauge::refreshMeasured);
    m_fits->setAccessibleName(QStringLiteral("Whether it fits"));
    m_bar->setAccessibleName(QStringLiteral("Predicted peak by category, against the budget"));
    m_bar->setToolTip(QStringLiteral(
        "The predicted peak by category; pale: reserved beyond what is allocated; red line: the budget"));
    connect(&workspace, &Workspace::planChanged, this, &PeakGauge::refresh);
    connect(&workspace, &Workspace::deviceChanged, this, &PeakGauge::refresh);
    connect(&workspace, &Workspace::adviceChanged, this, &PeakGauge::refresh);
    refresh();
}

void PeakGauge::changeEvent(QEvent* event) {
    if (event->type() == QEvent::PaletteChange) { // the texts have colours in them
        refresh();
        refreshMeasured();
    }
    QWidget::changeEvent(event);
}

// Of a run that is shown: what was measured, against what was predicted for it and not for the controls as they stand.
void PeakGauge::refreshMeasured() {
    const TimelinePtr shown = m_workspace.shown();
    const bool run = shown && shown->recording().predicted && !m_workspace.runState().running;
    m_measured->setVisible(run);
    if (!run) return;
    const Recording& recording = shown->recording();
    const auto [allocated, reserved] = *recording.predicted;
    const Peak& peak = shown->peak();
    QString text = QStringLiteral("Run shown, <i>%1</i>").arg(m_workspace.scene().shownLabel.toHtmlEscaped());
    if (m_workspace.showsOtherControls()) text += QStringLiteral(", of other controls");
    text += QStringLiteral(":<br>measured peak <b>%1</b>, reserved %2, ")
                .arg(bytesText(peak.allocated), bytesText(peak.reserved));
    const QString own = QStringLiteral("%1, reserved %2").arg(bytesText(allocated), bytesText(reserved));
    if (recording.failure)
        text += QStringLiteral("of %1 predicted for it: it ended early").arg(own);
    else if (allocated == peak.allocated && reserved == peak.reserved)
        text += QStringLiteral("<b>as predicted for it, to the byte</b>");
    else if (recording.refusals)
        text += QStringLiteral("less than predicted for it (%1): the driver refused memory %2 times, and the cache was "
                               "given back")
                    .arg(own)
                    .arg(recording.refusals);
    else
        text += QStringLiteral("<b style='color:%1'>NOT as predicted for it: %2</b>")
                    .arg(chartColours().failure.name(), own);
    setRichText(*m_measured, text);
    m_measured->setToolTip(QStringLiteral("measured %1 B allocated, %2 B reserved; predicted for this run %3 B, %4 B")
                               .arg(peak.allocated)
                               .arg(peak.reserved)
                               .arg(allocated)
                               .arg(reserved));
}

// Nothing while it is not known, or known of other controls than those that are set.
QString PeakGauge::timeText() const {
    const AdviceResult& advice = m_workspace.advice();
    if (!advice.timed || !advice.advice || !advice.advice->ms ||
        controlValues(advice.controls) != controlValues(m_workspace.controls()))
        return {};
    return QStringLiteral("<br>Takes about <b>%1</b>").arg(QString::fromStdString(formatDuration(*advice.advice->ms)));
}

void PeakGauge::refresh() {
    const TimelinePtr plan = m_workspace.plan();
    if (!plan) {
        setRichText(*m_peak, QStringLiteral("Peak of these controls …"));
        return;
    }
    const Peak& peak = plan->peak();
    setRichText(*m_peak,
                QStringLiteral("These controls: predicted peak <span style='font-size:large'><b>%1</b></span>, "
                               "<span style='color:%3'>reserved %2</span>")
                    .arg(bytesText(peak.allocated), bytesText(peak.reserved), chartColours().dimText.name()));
    m_peak->setToolTip(plainTip(QStringLiteral("%1 B allocated, %2 B reserved, at %3")
                                    .arg(peak.allocated)
                                    .arg(peak.reserved)
                                    .arg(textOf(peak.layer))));
    const TimelinePtr before = m_workspace.planBefore();
    if (before) {
        const auto change =
            static_cast<std::int64_t>(peak.allocated) - static_cast<std::int64_t>(before->peak().allocated);
        const auto reserved =
            static_cast<std::int64_t>(peak.reserved) - static_cast<std::int64_t>(before->peak().reserved);
        const QString colour = change > 0   ? chartColours().failure.name()
                               : change < 0 ? chartColours().better.name()
                                            : chartColours().dimText.name();
        setRichText(*m_change, QStringLiteral("%1: <b style='color:%2'>%3</b>, reserved %4")
                                   .arg(m_workspace.lastFlip().toHtmlEscaped(), colour, differenceText(change),
                                        differenceText(reserved)));
    } else {
        setRichText(*m_change, QStringLiteral("Change a control: what it does to the peak shows here"));
    }
    m_bar->peak = peak;
    m_bar->availableBytes = m_workspace.availableBytes();
    m_bar->update();
    const auto availableBytes = m_workspace.availableBytes();
    if (!availableBytes) {
        setRichText(*m_fits, m_workspace.device().refusal.empty()
                                 ? QStringLiteral("Fits? No device was asked yet; a budget says it too")
                                 : QStringLiteral("Fits? There is no device; a budget says it"));
        return;
    }
    const bool budget = m_workspace.controls().budgetBytes.has_value();
    const QString what = QStringLiteral("%1%2").arg(bytesText(*availableBytes),
                                                    budget ? QString() : QStringLiteral(" free on the device"));
    setRichText(*m_fits,
                (peak.reserved <= *availableBytes
                     ? QStringLiteral("Fits in %1: <b>yes</b>").arg(what)
                     : QStringLiteral("Fits in %1: <b style='color:%2'>no, %3 over</b>")
                           .arg(what, chartColours().failure.name(), bytesText(peak.reserved - *availableBytes))) +
                    timeText());
}

} // namespace spikescope
