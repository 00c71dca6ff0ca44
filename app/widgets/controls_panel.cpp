#include "app/widgets/controls_panel.h"

#include "app/models/tables.h"

#include "app/models/control_list.h"
#include "app/widgets/theme.h"

#include <QGridLayout>
#include <QLineEdit>
#include <QRegularExpression>
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
        auto* title = new QLabel(QStringLiteral("<b>%1</b>").arg(group.title), content);
        title->setTextFormat(Qt::RichText);
        title->setContentsMargins(0, row ? 8 : 0, 0, 2);
        grid->addWidget(title, row++, 0, 1, 2);
        for (const ControlEntry& entry : group.entries) {
            const QString name = QString::fromStdString(entry.name);
            Field field;
            field.label = new QLabel(name, content);
            field.box = new QuietComboBox(content);
            field.box->setObjectName(QStringLiteral("control:") + name);
            field.box->setAccessibleName(name);
            field.box->setAccessibleDescription(
                QString(entry.help).remove(QRegularExpression(QStringLiteral("<[^>]*>"))));
            field.box->setToolTip(entry.help);
            field.label->setToolTip(entry.help);
            field.label->setBuddy(field.box);
            field.box->setEditable(entry.isEditable);
            field.box->setInsertPolicy(QComboBox::NoInsert);
            field.box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
            field.box->setMinimumContentsLength(8);
            field.box->setFocusPolicy(Qt::StrongFocus);
            field.box->addItems(entry.choices);
            field.error = new QLabel(content);
            field.error->setTextFormat(Qt::RichText);
            field.error->setWordWrap(true);
            field.error->setObjectName(QStringLiteral("error:") + name);
            field.error->hide();
            field.isSubject = entry.isSubject;
            field.initial = QString::fromStdString(*controlValue(defaultControls(), entry.name));
            connect(field.box, &QComboBox::textActivated, this,
                    [this, control = entry.name](const QString& text) { m_workspace.setControl(control, text); });
            if (entry.isEditable)
                connect(field.box->lineEdit(), &QLineEdit::editingFinished, this,
                        [this, control = entry.name, box = field.box] {
                            if (box->currentText() != m_workspace.controlText(control) ||
                                !m_workspace.controlError(control).isEmpty())
                                m_workspace.setControl(control, box->currentText());
                        });
            grid->addWidget(field.label, row, 0);
            grid->addWidget(field.box, row++, 1);
            grid->addWidget(field.error, row++, 0, 1, 2);
            m_fields.emplace(entry.name, field);
        }
    }
    grid->setRowStretch(row, 1);
    setWidget(content);
    connect(&workspace, &Workspace::controlsChanged, this, &ControlsPanel::refresh);
    refresh();
}

void ControlsPanel::refresh() {
    for (auto& [name, field] : m_fields) {
        const QString text = m_workspace.controlText(name), error = m_workspace.controlError(name);
        field.error->setText(error.isEmpty() ? QString()
                                             : QStringLiteral("<span style='color:%1'>%2</span>")
                                                   .arg(chartColours().failure.name(), error.toHtmlEscaped()));
        field.error->setVisible(!error.isEmpty());
        QFont font = field.label->font();
        font.setBold(!field.isSubject && text != field.initial);
        field.label->setFont(font);
        if (!error.isEmpty()) continue; // what was refused stays to be corrected
        const QSignalBlocker quiet(field.box);
        const int index = field.box->findText(text);
        if (index >= 0)
            field.box->setCurrentIndex(index);
        else if (field.box->isEditable())
            field.box->setEditText(text);
        if (field.box->isEditable() && field.box->lineEdit()) {
            field.box->lineEdit()->setCursorPosition(0);
            if (name == "weights" && !text.startsWith(QLatin1String("synthetic")))
                field.box->setToolTip(plainTip(text));
        }
    }
}

} // namespace spikescope
