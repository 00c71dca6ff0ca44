#include "app/widgets/elided_label.h"

#include "app/models/rows_model.h"

#include <QEvent>
#include <QTextLayout>

#include <algorithm>

namespace spikescope {

namespace {

// The text in at most `most` lines of this width, the last one cut short where there is more.
QString inLines(const QString& text, const QFont& font, int width, int most) {
    const QFontMetrics metrics(font);
    QTextLayout layout(text, font);
    QTextOption option;
    option.setWrapMode(QTextOption::WrapAtWordBoundaryOrAnywhere);
    layout.setTextOption(option);
    QStringList lines;
    layout.beginLayout();
    for (QTextLine line = layout.createLine(); line.isValid(); line = layout.createLine()) {
        line.setLineWidth(width);
        if (lines.size() + 1 == most) {
            lines << metrics.elidedText(text.mid(line.textStart()), Qt::ElideRight, width);
            break;
        }
        lines << text.mid(line.textStart(), line.textLength()).trimmed();
    }
    layout.endLayout();
    return lines.join(QLatin1Char('\n'));
}

} // namespace

ElidedLabel::ElidedLabel(QWidget* parent)
    : QLabel(parent) {
    setTextFormat(Qt::PlainText);
    setAlignment(Qt::AlignLeft | Qt::AlignTop);
    setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
}

QSize ElidedLabel::sizeHint() const { return {fontMetrics().horizontalAdvance(m_full), fontMetrics().lineSpacing()}; }

void ElidedLabel::setFullText(const QString& text) {
    if (text == m_full) return;
    m_full = text;
    elide();
}

void ElidedLabel::resizeEvent(QResizeEvent* event) {
    QLabel::resizeEvent(event);
    elide();
}

void ElidedLabel::changeEvent(QEvent* event) {
    QLabel::changeEvent(event);
    if (event->type() == QEvent::FontChange) elide();
}

void ElidedLabel::elide() {
    const int lines = std::max(1, height() / fontMetrics().lineSpacing());
    setText(inLines(m_full, font(), std::max(1, width()), lines));
    // A tip that says what can be read anyway would only be in the way.
    const bool cut = text().endsWith(QChar(u'…')) && !m_full.endsWith(QChar(u'…'));
    setToolTip(cut ? plainTip(m_full) : QString());
    setAccessibleDescription(cut ? m_full : QString());
}

} // namespace spikescope
