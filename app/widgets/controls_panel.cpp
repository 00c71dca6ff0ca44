#include "app/widgets/controls_panel.h"

#include "app/models/control_list.h"
#include "app/models/tables.h"
#include "app/widgets/rich_text.h"
#include "app/widgets/theme.h"

#include <QFileInfo>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QWheelEvent>

namespace spikescope {

namespace {

// Scrolling the panel must not flip what happens to pass under the mouse.
class QuietComboBox final : public QComboBox {
public:
    using QComboBox::QComboBox;

protected:
    void wheelEvent(QWheelEvent* event) override {
        if (hasFocus())
            QComboBox::wheelEvent(event);
        else
            event->ignore();
    }
};

QString tipOf(const ControlEntry& entry) {
    return QStringLiteral("<b>%1</b><br>%2<br><i>%3</i>")
        .arg(textOf(entry.name), entry.help.toHtmlEscaped(), entry.values.toHtmlEscaped());
}

} // namespace

ControlsPanel::ControlsPanel(Workspace& workspace, QWidget* parent)
    : QScrollArea(parent)
    , m_workspace(workspace) {
    setWidgetResizable(true);
    setFrameShape(QFrame::NoFrame);
    setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setFocusPolicy(Qt::NoFocus);
    auto* content = new QWidget(this);
    auto* grid = new QGridLayout(content);
    grid->setContentsMargins(10, 6, 10, 10);
    grid->setHorizontalSpacing(8);
    grid->setVerticalSpacing(3);
    grid->setColumnStretch(1, 1);
    int row = 0;
    for (const ControlGroup& group : controlGroups()) {
        auto* title = new QLabel(content);
        setRichText(*title, QStringLiteral("<b>%1</b>").arg(group.title));
        title->setContentsMargins(0, row ? 8 : 0, 0, 2);
        grid->addWidget(title, row++, 0, 1, 2);
        for (const ControlEntry& entry : group.entries) {
            addField(*grid, row, entry);
            if (entry.name == "op") addInput(*grid, row);
        }
    }
    grid->setRowStretch(row, 1);
    setWidget(content);
    connect(&workspace, &Workspace::controlsChanged, this, &ControlsPanel::refresh);
    refresh();
}

void ControlsPanel::addField(QGridLayout& grid, int& row, const ControlEntry& entry) {
    QWidget* content = grid.parentWidget();
    const QString name = textOf(entry.name);
    Field& field = m_fields[entry.name];
    field.label = new QLabel(name, content);
    field.box = new QuietComboBox(content);
    field.box->setObjectName(QStringLiteral("control:") + name);
    field.box->setAccessibleName(name);
    const QString words = QStringLiteral("%1. Values: %2").arg(entry.help, entry.values);
    field.box->setAccessibleDescription(words);
    field.label->setAccessibleDescription(words);
    field.box->setToolTip(tipOf(entry));
    field.label->setToolTip(tipOf(entry));
    field.label->setBuddy(field.box);
    field.box->setEditable(entry.isEditable);
    field.box->setInsertPolicy(QComboBox::NoInsert);
    field.box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    field.box->setMinimumContentsLength(8);
    field.box->setFocusPolicy(Qt::StrongFocus);
    field.box->addItems(entry.choices);
    field.error = new QLabel(content);
    field.error->setWordWrap(true);
    field.error->setObjectName(QStringLiteral("error:") + name);
    field.error->hide();
    field.isSubject = entry.isSubject;
    field.initial = textOf(*controlValue(defaultControls(), entry.name));
    connect(field.box, &QComboBox::textActivated, this,
            [this, control = entry.name](const QString& text) { choose(control, text); });
    if (entry.isEditable) {
        field.box->setCompleter(nullptr); // which makes 12 of a 1 that was typed
        if (entry.name == "device") field.box->lineEdit()->setPlaceholderText(QStringLiteral("the first GPU"));
        connect(field.box->lineEdit(), &QLineEdit::editingFinished, this,
                [this, control = entry.name] { commitField(control, m_fields.at(control)); });
    }
    grid.addWidget(field.label, row, 0);
    grid.addWidget(field.box, row++, 1);
    grid.addWidget(field.error, row++, 0, 1, 2);
}

// What goes in, beside the controls that say what is done with it.
void ControlsPanel::addInput(QGridLayout& grid, int& row) {
    QWidget* content = grid.parentWidget();
    m_inputName = new QLabel(content);
    m_input = new QLabel(content);
    m_input->setObjectName(QStringLiteral("input"));
    m_input->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    m_synthetic = new QToolButton(content);
    m_synthetic->setObjectName(QStringLiteral("syntheticInput"));
    m_synthetic->setText(QStringLiteral("✕"));
    m_synthetic->setAutoRaise(true);
    connect(m_synthetic, &QToolButton::clicked, this, [this] { m_workspace.useSyntheticLatents(); });
    auto* line = new QHBoxLayout;
    line->setContentsMargins(3, 0, 0, 0);
    line->addWidget(m_input, 1);
    line->addWidget(m_synthetic);
    grid.addWidget(m_inputName, row, 0);
    grid.addLayout(line, row++, 1);
}

void ControlsPanel::commit() {
    for (auto& [control, field] : m_fields)
        if (field.box->isEditable()) commitField(control, field);
}

void ControlsPanel::commitField(const std::string& control, Field& field) {
    if (field.box->lineEdit()->isModified()) choose(control, field.box->currentText());
}

void ControlsPanel::choose(const std::string& control, const QString& value) {
    Field& field = m_fields.at(control);
    if (field.box->isEditable()) field.box->lineEdit()->setModified(false);
    m_workspace.setControl(control, value);
    refreshField(control, field); // also where it was refused, or the same in other words
}

void ControlsPanel::refresh() {
    for (auto& [control, field] : m_fields) refreshField(control, field);
    refreshInput();
}

void ControlsPanel::refreshField(const std::string& control, Field& field) {
    const QString text = m_workspace.controlText(control), error = m_workspace.controlError(control);
    setRichText(*field.error, error.isEmpty() ? QString()
                                              : QStringLiteral("<span style='color:%1'>%2</span>")
                                                    .arg(chartColours().failure.name(), error.toHtmlEscaped()));
    field.error->setVisible(!error.isEmpty());
    QFont font = field.label->font();
    font.setBold(!field.isSubject && text != field.initial);
    field.label->setFont(font);
    QLineEdit* line = field.box->lineEdit();
    if (line && line->isModified() && line->hasFocus()) return; // it is being typed
    const QSignalBlocker quiet(field.box);
    field.box->setCurrentIndex(field.box->findText(text, Qt::MatchFixedString | Qt::MatchCaseSensitive));
    if (!line) {
        field.box->setPlaceholderText(text);
        return;
    }
    line->setText(text); // also where it is the same: what was typed is no more to be undone
    // Of a file the end of its path is what tells it from others.
    const bool path = control == "weights" && !text.startsWith(QLatin1String("synthetic"));
    line->setCursorPosition(path ? static_cast<int>(text.size()) : 0);
    if (control == "weights") line->setToolTip(path ? plainTip(text) : QString());
}

void ControlsPanel::refreshInput() {
    const InputSource& input = m_workspace.input();
    const bool encode = m_workspace.controls().op == VaeTask::Encode;
    const QString name = encode ? QStringLiteral("picture") : QStringLiteral("latents");
    QString text = input.path.empty() ? encode ? QStringLiteral("none: open one")
                                               : QStringLiteral("synthetic, seed %1").arg(input.seed)
                                      : QFileInfo(textOf(input.path)).fileName();
    if (input.key) text += QStringLiteral(", ") + textOf(*input.key);
    QString tip = input.path.empty() ? text : textOf(input.path);
    if (input.key) tip += QStringLiteral("\nkey ") + textOf(*input.key);
    if (!input.path.empty() && !encode && !input.scaled) tip += QStringLiteral("\nunscaled: decoder input as it is");
    if (input.fit) tip += QStringLiteral("\nmade to fit: ") + textOf(spikescope::name(*input.fit));
    m_inputName->setText(name);
    m_inputName->setToolTip(encode ? QStringLiteral("What is encoded") : QStringLiteral("What is decoded"));
    m_input->setText(text);
    m_input->setToolTip(plainTip(tip));
    m_input->setAccessibleName(name);
    m_input->setAccessibleDescription(tip);
    m_synthetic->setVisible(!input.path.empty());
    const QString back = encode ? QStringLiteral("Puts the picture aside")
                                : QStringLiteral("Back to synthetic latents, of seed %1").arg(input.seed);
    m_synthetic->setToolTip(back);
    m_synthetic->setAccessibleName(back);
}

} // namespace spikescope
