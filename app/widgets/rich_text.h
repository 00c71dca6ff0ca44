#pragma once
// Labels with markup, which is for the eye alone: screen readers get its words.

#include <QLabel>
#include <QTextDocumentFragment>

namespace spikescope {

// The words are the label's description where it has a name of its own, else its name.
inline void setRichText(QLabel& label, const QString& html) {
    label.setTextFormat(Qt::RichText);
    label.setText(html);
    QString words = QTextDocumentFragment::fromHtml(html).toPlainText();
    words.replace(QLatin1Char('\n'), QLatin1Char(' '));
    label.setAccessibleDescription(words);
}

} // namespace spikescope
