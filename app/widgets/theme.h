#pragma once
// Light and dark, for widgets and for what is drawn by hand.

#include <QColor>
#include <QString>

class QApplication;

namespace spikescope {

enum class Theme : unsigned char { System, Light, Dark };

Theme themeFromName(const QString& name);
QString nameOf(Theme theme);
// `System` is what the desktop's palette says at the start of the program.
void applyTheme(QApplication& app, Theme theme);

// Of the theme in use.
struct ChartColours {
    QColor ground, plot, grid, text, dimText, ink, ghost, budget, cursor, hover, selection, failure, better, bandEven,
        bandOdd;
};
const ChartColours& chartColours();
bool darkTheme();

} // namespace spikescope
