#include "app/widgets/runs_panel.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QMenu>
#include <QPushButton>
#include <QShortcut>
#include <QVBoxLayout>

namespace spikescope {

RunsPanel::RunsPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent)
    , m_workspace(workspace)
    , m_view(new QTreeView(this)) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(8, 6, 8, 8);
    layout->setSpacing(4);
    layout->addWidget(m_view, 1);
    m_view->setModel(&workspace.runs());
    m_view->setObjectName(QStringLiteral("runs"));
    m_view->setAccessibleName(QStringLiteral("Runs"));
    m_view->setRootIsDecorated(false);
    m_view->setUniformRowHeights(true);
    m_view->setAlternatingRowColors(true);
    m_view->setEditTriggers(QAbstractItemView::EditKeyPressed);
    m_view->setContextMenuPolicy(Qt::CustomContextMenu);
    m_view->header()->setStretchLastSection(false);
    m_view->header()->setSectionResizeMode(QHeaderView::ResizeToContents);
    m_view->header()->setSectionResizeMode(0, QHeaderView::Stretch);
    m_view->header()->setMinimumSectionSize(40);
    m_view->setColumnHidden(RunsModel::Reserved, true); // the tooltip and the table Compare have it
    connect(m_view, &QTreeView::activated, this,
            [this](const QModelIndex& index) { m_workspace.show(m_workspace.runs().idAt(index.row())); });
    connect(m_view, &QWidget::customContextMenuRequested, this, &RunsPanel::menu);
    auto* remove = new QShortcut(QKeySequence::Delete, m_view, nullptr, nullptr, Qt::WidgetShortcut);
    connect(remove, &QShortcut::activated, this, [this] {
        if (currentRun()) m_workspace.removeRun(currentRun());
    });
    auto* buttons = new QHBoxLayout;
    const auto add = [&](const QString& text, const QString& tip, auto call) {
        auto* button = new QPushButton(text, this);
        button->setToolTip(tip);
        button->setAccessibleDescription(tip);
        connect(button, &QPushButton::clicked, this, call);
        buttons->addWidget(button);
    };
    add(QStringLiteral("Show plan"), QStringLiteral("The timeline shows the plan of the controls as they stand"),
        [this] { m_workspace.show(0); });
    add(QStringLiteral("Keep plan"), QStringLiteral("Puts the plan as it stands into this list, to compare with"),
        [this] { m_workspace.keepPlan(); });
    layout->addLayout(buttons);
}

int RunsPanel::currentRun() const {
    const QModelIndex index = m_view->currentIndex();
    return index.isValid() ? m_workspace.runs().idAt(index.row()) : 0;
}

void RunsPanel::menu(const QPoint& at) {
    const QModelIndex index = m_view->indexAt(at);
    if (!index.isValid()) return;
    const int run = m_workspace.runs().idAt(index.row());
    RunsModel& runs = m_workspace.runs();
    QMenu menu(this);
    const auto add = [&](const QString& text, auto call) {
        connect(menu.addAction(text), &QAction::triggered, this, call);
    };
    add(QStringLiteral("Show"), [&] { m_workspace.show(run); });
    add(QStringLiteral("Use its controls"), [&] { m_workspace.useControlsOf(run); });
    menu.addSeparator();
    add(QStringLiteral("Mark as A"), [&] { runs.setBadges(run, runs.badgeB() == run ? 0 : runs.badgeB()); });
    add(QStringLiteral("Mark as B"), [&] { runs.setBadges(runs.badgeA() == run ? 0 : runs.badgeA(), run); });
    add(QStringLiteral("Rename"), [&] { m_view->edit(index.siblingAtColumn(0)); });
    menu.addSeparator();
    add(QStringLiteral("Remove"), [&] { m_workspace.removeRun(run); });
    menu.exec(m_view->viewport()->mapToGlobal(at));
}

} // namespace spikescope
