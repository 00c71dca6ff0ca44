#include "app/widgets/help.h"

#include <QDialog>
#include <QDialogButtonBox>
#include <QFile>
#include <QLabel>
#include <QRegularExpression>
#include <QScrollArea>
#include <QVBoxLayout>

#include <algorithm>

// Resources of a static library are there when this was called, outside of any namespace.
static void loadResources() { Q_INIT_RESOURCE(glossary); }

namespace spikescope::help {

namespace {

using Rows = QList<std::pair<QString, QString>>;

void show(QWidget* parent, const QString& title, const Rows& rows) {
    auto* dialog = new QDialog(parent);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setWindowTitle(title);
    QString text = QStringLiteral("<table cellspacing='4'>");
    for (const auto& [key, meaning] : rows)
        text += QStringLiteral("<tr><td><b>%1</b></td><td>%2</td></tr>").arg(key.toHtmlEscaped(), meaning);
    auto* label = new QLabel(text + QStringLiteral("</table>"), dialog);
    label->setTextFormat(Qt::RichText);
    label->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    label->setWordWrap(true);
    auto* area = new QScrollArea(dialog);
    area->setWidget(label);
    area->setWidgetResizable(true);
    area->setFrameShape(QFrame::NoFrame);
    area->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff); // lines wrap
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close, dialog);
    QObject::connect(buttons, &QDialogButtonBox::rejected, dialog, &QDialog::close);
    auto* layout = new QVBoxLayout(dialog);
    layout->addWidget(area);
    layout->addWidget(buttons);
    dialog->resize(720, std::min(label->heightForWidth(660) + 90, 640));
    dialog->show();
}

// The glossary of CONTRIBUTING.md, which is a resource of the program: lines of "- **word**: meaning".
Rows glossary() {
    Rows rows;
    QFile file(QStringLiteral(":/contributing.md"));
    if (!file.open(QIODevice::ReadOnly)) return rows;
    static const QRegularExpression entry(QStringLiteral("^- \\*\\*(.+)\\*\\*: (.+)$"));
    for (const QString& line : QString::fromUtf8(file.readAll()).split(u'\n'))
        if (const auto match = entry.match(line); match.hasMatch())
            rows.append({match.captured(1), match.captured(2).remove(u'`').toHtmlEscaped()});
    return rows;
}

} // namespace

void showKeys(QWidget* parent) {
    show(parent, QStringLiteral("Keys"),
         {{"Ctrl+O", "open a checkpoint, latents, picture, recording, session or PyTorch snapshot"},
          {"Ctrl+R", "run, and stop"},
          {"Ctrl+B", "show me the problem: three presets overlaid"},
          {"P", "jump to the peak, and list what is alive there"},
          {"F", "show everything"},
          {"Ctrl+F", "go to the filter of the table in front"},
          {"Ctrl+Shift+F", "fit into the budget, and cancel that"},
          {"G", "draw the tiles over the picture; a click on one, or Left and Right, selects its ops"},
          {"M", "set or remove a marker at the cursor"},
          {"Left, Right", "previous and next event (in the chart)"},
          {"Home, End", "first and last event"},
          {"Shift+Left, Shift+Right", "extend the range from the cursor; with Shift+Home and Shift+End to the ends"},
          {"Enter", "zoom to the range (in the chart)"},
          {"+, −, wheel", "zoom, with the wheel at the mouse"},
          {"Page Up, Page Down", "pan; also middle-drag, Space-drag and Shift+wheel"},
          {"drag", "select a range: the tables follow; Esc or a click beside it clears it, a double click zooms to it"},
          {"Enter", "in a table: go there; in Advice: apply the change"},
          {"Ctrl+D", "compare"},
          {"Ctrl+E", "export the timeline as PNG"},
          {"Ctrl+S", "save the session"},
          {"Ctrl+Z, Ctrl+Shift+Z", "undo and redo controls, markers and zoom, wherever the focus is"},
          {"Ctrl+C", "copy the table"},
          {"Tab", "next part of the window"},
          {"?", "this list"}});
}

void showGlossary(QWidget* parent) {
    loadResources();
    show(parent, QStringLiteral("Glossary"), glossary());
}

} // namespace spikescope::help
