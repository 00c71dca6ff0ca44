#include "app/widgets/help.h"

#include <QDialog>
#include <QDialogButtonBox>
#include <QLabel>
#include <QVBoxLayout>

namespace spikescope::help {

namespace {

void show(QWidget* parent, const QString& title,
          const std::initializer_list<std::pair<const char*, const char*>>& rows) {
    auto* dialog = new QDialog(parent);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setWindowTitle(title);
    QString text = QStringLiteral("<table cellspacing='6'>");
    for (const auto& [key, meaning] : rows)
        text += QStringLiteral("<tr><td><b>%1</b></td><td>%2</td></tr>")
                    .arg(QString::fromUtf8(key), QString::fromUtf8(meaning));
    auto* label = new QLabel(text + QStringLiteral("</table>"), dialog);
    label->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    label->setWordWrap(true);
    label->setMinimumWidth(520);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close, dialog);
    QObject::connect(buttons, &QDialogButtonBox::rejected, dialog, &QDialog::close);
    auto* layout = new QVBoxLayout(dialog);
    layout->addWidget(label);
    layout->addWidget(buttons);
    dialog->show();
}

} // namespace

void showKeys(QWidget* parent) {
    show(parent, QStringLiteral("Keys"),
         {{"Ctrl+O", "open a checkpoint, latents, picture, recording, session or PyTorch snapshot"},
          {"Ctrl+R", "run, and stop"},
          {"Ctrl+B", "show me the problem: three presets overlaid"},
          {"P", "jump to the peak, and list what is alive there"},
          {"F", "show everything"},
          {"Ctrl+F", "fit into the budget, and cancel that"},
          {"G", "draw the tiles over the picture; a click on one, or Left and Right, selects its ops"},
          {"M", "set or remove a marker at the cursor"},
          {"Left, Right", "previous and next event (in the chart)"},
          {"Home, End", "first and last event"},
          {"+, −, wheel", "zoom, with the wheel at the mouse"},
          {"Page Up, Page Down", "pan; also middle-drag, Space-drag and Shift+wheel"},
          {"drag", "select a range: the tables follow; Esc clears it, a double click zooms to it"},
          {"Enter", "in a table: go there; in Advice: apply the flip"},
          {"Ctrl+D", "compare"},
          {"Ctrl+E", "export the timeline as PNG"},
          {"Ctrl+S", "save the session"},
          {"Ctrl+Z, Ctrl+Shift+Z", "undo and redo controls, markers and zoom"},
          {"Ctrl+C", "copy the table"},
          {"Tab", "next part of the window"},
          {"?", "this list"}});
}

void showGlossary(QWidget* parent) {
    show(parent, QStringLiteral("Glossary"),
         {{"allocated", "bytes of live tensors"},
          {"reserved", "bytes held from the driver"},
          {"cached", "reserved less allocated: what an allocator keeps for later"},
          {"working", "allocated less weights and resident models"},
          {"workspace",
           "bytes a kernel needs beside its inputs and outputs: im2col columns, attention scores, layout copies"},
          {"resident", "other models kept in memory during the decode, such as the text encoder and the transformer"},
          {"peak", "the largest allocated (or reserved) value, taken from events and never from samples"},
          {"layer", "the module path in the checkpoint"},
          {"phase", "load, text encode, denoise, decode or encode, write"},
          {"evaluate, barrier", "a place where the program waits for the device and returns what has retired"},
          {"plan", "the same program walked over a heap that only counts: its peak is the run's peak, to the byte"},
          {"MiB, GiB", "2<sup>20</sup> and 2<sup>30</sup> bytes"}});
}

} // namespace spikescope::help
