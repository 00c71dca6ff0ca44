#include "app/widgets/peak_gauge.h"

#include "app/widgets/chart_legend.h"
#include "app/widgets/theme.h"

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
    for (QLabel* label : {m_peak, m_change, m_fits, m_measured}) {
        label->setTextFormat(Qt::RichText);
        label->setWordWrap(true);
    }
    m_peak->setObjectName(QStringLiteral("predictedPeak"));
    m_peak->setAccessibleName(QStringLiteral("Predicted peak"));
    m_change->setAccessibleName(QStringLiteral("What the last flip changed"));
    m_measured->setObjectName(QStringLiteral("measured"));
    m_measured->setAccessibleName(QStringLiteral("Predicted against measured"));
    m_measured->hide();
    connect(&workspace, &Workspace::sceneChanged, this, &PeakGauge::refreshMeasured);
    m_fits->setAccessibleName(QStringLiteral("Whether it fits"));
    m_bar->setAccessibleName(QStringLiteral("Predicted peak by category, against the budget"));
    m_bar->setToolTip(QStringLiteral(
        "The predicted peak by category; pale: reserved beyond what is allocated; red line: the budget"));
    connect(&workspace, &Workspace::planChanged, this, &PeakGauge::refresh);
    connect(&workspace, &Workspace::deviceChanged, this, &PeakGauge::refresh);
    refresh();
}

void PeakGauge::changeEvent(QEvent* event) {
    if (event->type() == QEvent::PaletteChange) { // the texts have colours in them
        refresh();
        refreshMeasured();
    }
    QWidget::changeEvent(event);
}

// Of a run that is shown: what was predicted for it, beside what was measured.
void PeakGauge::refreshMeasured() {
    const TimelinePtr shown = m_workspace.shown();
    const bool run = shown && shown->recording().predicted && !m_workspace.runState().running;
    m_measured->setVisible(run);
    if (!run) return;
    const auto [allocated, reserved] = *shown->recording().predicted;
    const Peak& peak = shown->peak();
    const QString values =
        QStringLiteral("Measured <b>%1</b>, reserved %2: ").arg(bytesText(peak.allocated), bytesText(peak.reserved));
    const QString red = chartColours().failure.name();
    if (shown->recording().failure)
        m_measured->setText(values + QStringLiteral("the run ended early"));
    else if (allocated == peak.allocated && reserved == peak.reserved)
        m_measured->setText(values + QStringLiteral("<b>as predicted, to the byte</b>"));
    else if (shown->recording().refusals)
        m_measured->setText(
            values +
            QStringLiteral(
                "less than predicted (%1, %2): the driver refused memory %3 times, and the cache was given back")
                .arg(bytesText(allocated), bytesText(reserved))
                .arg(shown->recording().refusals));
    else
        m_measured->setText(values + QStringLiteral("<b style='color:%1'>NOT as predicted: %2, %3</b>")
                                         .arg(red, bytesText(allocated), bytesText(reserved)));
    m_measured->setToolTip(QStringLiteral("measured %1 B allocated, %2 B reserved; predicted %3 B, %4 B")
                               .arg(peak.allocated)
                               .arg(peak.reserved)
                               .arg(allocated)
                               .arg(reserved));
}

void PeakGauge::refresh() {
    const TimelinePtr plan = m_workspace.plan();
    if (!plan) {
        m_peak->setText(QStringLiteral("Predicted peak …"));
        return;
    }
    const Peak& peak = plan->peak();
    m_peak->setText(QStringLiteral("Predicted peak <span style='font-size:large'><b>%1</b></span><br><span "
                                   "style='color:%3'>reserved %2</span>")
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
        m_change->setText(
            QStringLiteral("%1: <b style='color:%2'>%3</b>, reserved %4")
                .arg(m_workspace.lastFlip().toHtmlEscaped(), colour, differenceText(change), differenceText(reserved)));
    } else {
        m_change->setText(QStringLiteral("Flip a control: the change shows here"));
    }
    m_bar->peak = peak;
    m_bar->availableBytes = m_workspace.availableBytes();
    m_bar->update();
    const auto availableBytes = m_workspace.availableBytes();
    if (!availableBytes) {
        m_fits->setText(m_workspace.device().refusal.empty()
                            ? QStringLiteral("Fits? No device was asked yet; a budget says it too")
                            : QStringLiteral("Fits? There is no device; a budget says it"));
        return;
    }
    const bool budget = m_workspace.controls().budgetBytes.has_value();
    const QString what = QStringLiteral("%1%2").arg(bytesText(*availableBytes),
                                                    budget ? QString() : QStringLiteral(" free on the device"));
    m_fits->setText(peak.reserved <= *availableBytes
                        ? QStringLiteral("Fits in %1: <b>yes</b>").arg(what)
                        : QStringLiteral("Fits in %1: <b style='color:%2'>no, %3 over</b>")
                              .arg(what, chartColours().failure.name(), bytesText(peak.reserved - *availableBytes)));
}

} // namespace spikescope
