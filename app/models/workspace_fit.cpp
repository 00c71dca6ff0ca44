// The part of the workspace that finds controls which fit.

#include "app/models/picture_effect.h"
#include "app/models/workspace.h"

#include <algorithm>

namespace spikescope {

namespace {

// "tile off → stripe:128, spill device → recompute"
QString changesOf(const Controls& from, const Controls& to) {
    QStringList changes;
    const auto before = controlValues(from), after = controlValues(to);
    for (std::size_t i = 0; i < before.size(); ++i)
        if (before[i].second != after[i].second)
            changes << QStringLiteral("%1 %2 → %3")
                           .arg(textOf(after[i].first), textOf(before[i].second), textOf(after[i].second));
    return changes.join(QStringLiteral(", "));
}

// What of the picture is lost by the change.
QString givenUp(const Controls& from, const Controls& to) {
    QStringList lost;
    if (isApproximate(to) && !isApproximate(from))
        lost << QStringLiteral("the exact picture (tiles are independent: norms and attention see one tile only)");
    if (to.activations != from.activations || to.weightType() != from.weightType() || to.promote != from.promote)
        lost << QStringLiteral("bits of activations or weights");
    return lost.isEmpty() ? QStringLiteral("Nothing of the picture is given up.")
                          : QStringLiteral("Given up: %1.").arg(lost.join(QStringLiteral("; ")));
}

// What has to be ticked beside what is.
QString wouldFit(FitWish would, FitWish wish) {
    QStringList ticks;
    if (would.approximate && !wish.approximate) ticks << QStringLiteral("“approximate tiles”");
    if (would.dtype && !wish.dtype) ticks << QStringLiteral("“fewer bits”");
    return QStringLiteral(". It fits with %1 ticked under the button, which changes the picture")
        .arg(ticks.join(QStringLiteral(" and ")));
}

QString exactBytes(std::uint64_t bytes) { return QStringLiteral("%1 (%L2 B)").arg(bytesText(bytes)).arg(bytes); }

} // namespace

void Workspace::fitIntoRoom(FitWish wish, std::optional<std::uint64_t> bytes) {
    const auto availableBytes = bytes ? bytes : this->availableBytes();
    if (!availableBytes) return;
    m_fitRequest = m_engine.fit(m_controls, *availableBytes, wish);
    Q_EMIT fittingChanged();
}

void Workspace::cancelFitting() {
    if (!fitting()) return;
    m_fitRequest = 0; // its answer finds nobody who waits for it
    m_engine.cancelFitting();
    Q_EMIT fittingChanged();
}

void Workspace::onFitted(const FitResult& result) {
    if (result.request != m_fitRequest) return;
    m_fitRequest = 0;
    Q_EMIT fittingChanged();
    if (result.error) {
        tell(Notice::Kind::Error, QString::fromStdString(result.error->message));
        return;
    }
    const QString available = bytesText(result.availableBytes), changes = changesOf(m_controls, result.controls);
    if (!result.fits) {
        QString text;
        if (result.weights > result.availableBytes)
            text = QStringLiteral("Nothing fits into %1: the weights alone are %2")
                       .arg(available, exactBytes(result.weights));
        else
            text =
                QStringLiteral("Nothing fits into %1: the least that was found reserves %2%3%4")
                    .arg(available, exactBytes(result.reserved),
                         changes.isEmpty() ? QString() : QStringLiteral(", with ") + changes,
                         result.reserved > result.availableBytes ? QString()
                                                                 : QStringLiteral(", but ") + textOf(result.refusal));
        if (result.would) text += wouldFit(*result.would, result.wish);
        tell(Notice::Kind::Error, text);
        return;
    }
    if (changes.isEmpty()) {
        tell(Notice::Kind::Answer, QStringLiteral("Nothing changed: of what was found the controls as they stand are "
                                                  "the fastest that fit into %1, reserving %2")
                                       .arg(available, bytesText(result.reserved)));
        return;
    }
    const QString times = QString::number(result.times, 'f', 2),
                  time = result.measured
                             ? QStringLiteral("it takes %1 times as long by this device's measured rates").arg(times)
                             : QStringLiteral("it takes about %1 times as long, judged by its operations and bytes "
                                              "alone: this device was not measured")
                                   .arg(times);
    const QString text =
        QStringLiteral("Fits into %1: reserves %2, and %3. %4 Changed: %5")
            .arg(available, bytesText(result.reserved), time, givenUp(m_controls, result.controls), changes);
    change({.controls = result.controls, .input = m_input, .preset = m_preset},
           QStringLiteral("fit into ") + available);
    tell(Notice::Kind::Answer, text);
}

} // namespace spikescope
