// What the window asks before it does something that cannot be taken back: a run that does not fit, and closing or
// opening a session with runs that are in no file.

#include "app/widgets/main_window.h"

#include "app/widgets/fit_bar.h"

#include <QAction>
#include <QCloseEvent>
#include <QMessageBox>
#include <QPushButton>

namespace spikescope {

namespace {

// Answered when a button is pressed; the window goes on meanwhile.
QMessageBox* question(QWidget* parent, const char* name, const QString& text, const QString& more) {
    auto* box =
        new QMessageBox(QMessageBox::Warning, QStringLiteral("Spikescope"), text, QMessageBox::NoButton, parent);
    box->setObjectName(QString::fromUtf8(name));
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->setTextFormat(Qt::PlainText);
    box->setInformativeText(more);
    return box;
}

} // namespace

void MainWindow::askForRoom(const Shortage& shortage) {
    QMessageBox* box = question(this, "askForRoom", textOf(shortage.sentence()),
                                shortage.free.shared
                                    ? QStringLiteral("The machine may become slow, or end this program or another one.")
                                    : QStringLiteral("The driver may refuse memory, or move it to where it is slow."));
    QPushButton* anyway = box->addButton(QStringLiteral("Run anyway"), QMessageBox::DestructiveRole);
    QPushButton* fit =
        box->addButton(QStringLiteral("Fit into %1 …").arg(bytesText(shortage.available())), QMessageBox::ActionRole);
    box->setDefaultButton(box->addButton(QMessageBox::Cancel));
    fit->setToolTip(QStringLiteral("Sets the controls to the fastest ones that fit; undo takes them back"));
    connect(anyway, &QPushButton::clicked, this, [this] { m_workspace.run(Engine::Room::Whatever); });
    connect(fit, &QPushButton::clicked, this, [this, bytes = shortage.available()] { m_fit->fitInto(bytes); });
    box->open();
}

void MainWindow::closeEvent(QCloseEvent* event) {
    if (m_workspace.unsaved() && !m_closing) {
        event->ignore();
        askToSave([this] {
            m_closing = true;
            close();
        });
        return;
    }
    saveSettings();
    m_workspace.stop();
    event->accept();
}

void MainWindow::askToSave(std::function<void()> then) {
    if (findChild<QMessageBox*>(QStringLiteral("askToSave"))) return;
    QMessageBox* box = question(this, "askToSave", QStringLiteral("Save the runs of this session?"),
                                QStringLiteral("Their timelines and pictures are in no file yet."));
    QPushButton* save = box->addButton(QMessageBox::Save);
    QPushButton* discard = box->addButton(QMessageBox::Discard);
    box->addButton(QMessageBox::Cancel);
    box->setDefaultButton(save);
    connect(discard, &QPushButton::clicked, this, then);
    connect(save, &QPushButton::clicked, this, [this, then] {
        if (m_workspace.session().isEmpty())
            chooseAndSaveSession(then);
        else
            saveSession(m_workspace.session(), then);
    });
    box->open();
}

bool MainWindow::chooseAndSaveSession(std::function<void()> saved) {
    const QString session = m_workspace.session();
    const QString path =
        saveName(QStringLiteral("Save the session"), session.isEmpty() ? QStringLiteral("session.spikescope") : session,
                 QStringLiteral("Session (*.spikescope)"));
    if (path.isEmpty()) return false;
    saveSession(path, std::move(saved));
    return true;
}

} // namespace spikescope
