#include "app/widgets/theme.h"

#include <QApplication>
#include <QPainter>
#include <QPalette>
#include <QProxyStyle>
#include <QStyleFactory>
#include <QStyleOption>

namespace spikescope {

namespace {

bool dark = false;

QPalette lightPalette() {
    QPalette p;
    p.setColor(QPalette::Window, QColor(0xf3, 0xf4, 0xf6));
    p.setColor(QPalette::WindowText, QColor(0x1c, 0x22, 0x2b));
    p.setColor(QPalette::Base, QColor(0xff, 0xff, 0xff));
    p.setColor(QPalette::AlternateBase, QColor(0xf7, 0xf8, 0xfa));
    p.setColor(QPalette::Text, QColor(0x1c, 0x22, 0x2b));
    p.setColor(QPalette::PlaceholderText, QColor(0x62, 0x6b, 0x78));
    p.setColor(QPalette::Button, QColor(0xe9, 0xeb, 0xef));
    p.setColor(QPalette::ButtonText, QColor(0x1c, 0x22, 0x2b));
    p.setColor(QPalette::BrightText, QColor(0xc6, 0x28, 0x28));
    p.setColor(QPalette::ToolTipBase, QColor(0xff, 0xff, 0xff));
    p.setColor(QPalette::ToolTipText, QColor(0x1c, 0x22, 0x2b));
    p.setColor(QPalette::Highlight, QColor(0x1f, 0x6f, 0xd0));
    p.setColor(QPalette::HighlightedText, Qt::white);
    p.setColor(QPalette::Link, QColor(0x1a, 0x62, 0xba));
    p.setColor(QPalette::Mid, QColor(0xc4, 0xc9, 0xd1));
    return p;
}

QPalette darkPalette() {
    QPalette p;
    p.setColor(QPalette::Window, QColor(0x1f, 0x23, 0x29));
    p.setColor(QPalette::WindowText, QColor(0xe4, 0xe7, 0xeb));
    p.setColor(QPalette::Base, QColor(0x17, 0x1a, 0x1f));
    p.setColor(QPalette::AlternateBase, QColor(0x1c, 0x20, 0x26));
    p.setColor(QPalette::Text, QColor(0xe4, 0xe7, 0xeb));
    p.setColor(QPalette::PlaceholderText, QColor(0x8b, 0x94, 0xa0));
    p.setColor(QPalette::Button, QColor(0x2b, 0x30, 0x38));
    p.setColor(QPalette::ButtonText, QColor(0xe4, 0xe7, 0xeb));
    p.setColor(QPalette::BrightText, QColor(0xff, 0x7b, 0x72));
    p.setColor(QPalette::ToolTipBase, QColor(0x2b, 0x30, 0x38));
    p.setColor(QPalette::ToolTipText, QColor(0xe4, 0xe7, 0xeb));
    p.setColor(QPalette::Highlight, QColor(0x23, 0x6f, 0xca));
    p.setColor(QPalette::HighlightedText, Qt::white);
    p.setColor(QPalette::Link, QColor(0x6c, 0xb2, 0xff));
    p.setColor(QPalette::Light, QColor(0x3a, 0x40, 0x4a));
    p.setColor(QPalette::Midlight, QColor(0x33, 0x39, 0x42));
    p.setColor(QPalette::Mid, QColor(0x46, 0x4d, 0x58));
    p.setColor(QPalette::Dark, QColor(0x12, 0x14, 0x18));
    p.setColor(QPalette::Shadow, Qt::black);
    return p;
}

// Fusion's outlines are darker than what is around them: on a dark ground boxes to tick would not be seen.
class OutlinedFusion final : public QProxyStyle {
public:
    OutlinedFusion()
        : QProxyStyle(QStyleFactory::create(QStringLiteral("Fusion"))) {}

    void drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* painter,
                       const QWidget* widget) const override {
        QProxyStyle::drawPrimitive(element, option, painter, widget);
        if (!dark || (element != PE_IndicatorCheckBox && element != PE_IndicatorItemViewItemCheck)) return;
        painter->save();
        painter->setPen(option->palette.color(QPalette::PlaceholderText));
        painter->setBrush(Qt::NoBrush);
        painter->drawRect(option->rect.adjusted(0, 0, -1, -1));
        painter->restore();
    }
};

void dim(QPalette& p) {
    for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText})
        p.setColor(QPalette::Disabled, role, p.color(QPalette::PlaceholderText));
}

} // namespace

Theme themeFromName(const QString& name) {
    if (name == QLatin1String("light")) return Theme::Light;
    if (name == QLatin1String("dark")) return Theme::Dark;
    return Theme::System;
}

QString nameOf(Theme theme) {
    return theme == Theme::Light  ? QStringLiteral("light")
           : theme == Theme::Dark ? QStringLiteral("dark")
                                  : QStringLiteral("system");
}

void applyTheme(QApplication& app, Theme theme) {
    static const bool systemDark = app.palette().color(QPalette::Window).lightness() < 128;
    dark = theme == Theme::Dark || (theme == Theme::System && systemDark);
    app.setStyle(new OutlinedFusion); // which the application then owns
    QPalette palette = dark ? darkPalette() : lightPalette();
    dim(palette);
    app.setPalette(palette);
    app.setStyleSheet(QStringLiteral("QToolTip { padding: 4px; border: 1px solid %1; }"
                                     "QDockWidget::title { padding: 5px 8px; background: %2; }"
                                     "QToolBar { border: none; spacing: 4px; padding: 4px; }"
                                     "QTabBar::tab { padding: 5px 12px; }"
                                     "QHeaderView::section { padding: 3px 6px; }")
                          .arg(palette.color(QPalette::Mid).name(), palette.color(QPalette::Button).name()));
}

bool darkTheme() { return dark; }

const ChartColours& chartColours() {
    static const ChartColours light{.ground = QColor(0xff, 0xff, 0xff),
                                    .plot = QColor(0xfb, 0xfc, 0xfd),
                                    .grid = QColor(0xe3, 0xe7, 0xec),
                                    .text = QColor(0x1c, 0x22, 0x2b),
                                    .dimText = QColor(0x5f, 0x69, 0x76),
                                    .ink = QColor(0x2e, 0x36, 0x41),
                                    .ghost = QColor(0xc2, 0x18, 0x5b),
                                    .budget = QColor(0xc6, 0x28, 0x28),
                                    .cursor = QColor(0x1c, 0x22, 0x2b),
                                    .hover = QColor(0x66, 0x70, 0x7d),
                                    .selection = QColor(0x1f, 0x6f, 0xd0, 48),
                                    .failure = QColor(0xc6, 0x28, 0x28),
                                    .better = QColor(0x14, 0x74, 0x6c),
                                    .bandEven = QColor(0xdd, 0xe4, 0xee),
                                    .bandOdd = QColor(0xec, 0xf0, 0xf6)};
    static const ChartColours night{.ground = QColor(0x17, 0x1a, 0x1f),
                                    .plot = QColor(0x1a, 0x1e, 0x24),
                                    .grid = QColor(0x2d, 0x33, 0x3c),
                                    .text = QColor(0xe4, 0xe7, 0xeb),
                                    .dimText = QColor(0x98, 0xa2, 0xae),
                                    .ink = QColor(0xd5, 0xda, 0xe0),
                                    .ghost = QColor(0xff, 0x7a, 0xae),
                                    .budget = QColor(0xff, 0x6b, 0x62),
                                    .cursor = QColor(0xff, 0xff, 0xff),
                                    .hover = QColor(0x98, 0xa2, 0xae),
                                    .selection = QColor(0x4f, 0x9b, 0xf0, 56),
                                    .failure = QColor(0xff, 0x6b, 0x62),
                                    .better = QColor(0x4c, 0xc9, 0xbe),
                                    .bandEven = QColor(0x2f, 0x38, 0x45),
                                    .bandOdd = QColor(0x27, 0x2d, 0x37)};
    return dark ? night : light;
}

} // namespace spikescope
