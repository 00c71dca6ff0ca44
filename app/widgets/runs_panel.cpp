#include "app/widgets/runs_panel.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QMenu>
#include <QMouseEvent>
#include <QShortcut>
#include <QVBoxLayout>

namespace spikescope {

// A press selects a row, but on its tick box and with another button than the left one.
class RunsPanel::View final : public QTreeView {
public:
    using QTreeView::QTreeView;

protected:
    QItemSelectionModel::SelectionFlags selectionCommand(const QModelIndex& index, const QEvent* event) const override {
        if (event && (event->type() == QEvent::MouseButtonPress || event->type() == QEvent::MouseButtonRelease ||
                      event->type() == QEvent::MouseMove)) {
            const auto* mouse = static_cast<const QMouseEvent*>(event);
            if ((mouse->buttons() | mouse->button()) != Qt::LeftButton || !index.isValid() ||
                tickBox(index).contains(mouse->position().toPoint()))
                return QItemSelectionModel::NoUpdate;
        }
        return QTreeView::selectionCommand(index, event);
    }

private:
    QRect tickBox(const QModelIndex& index) const {
        if (index.column() != RunsModel::Label) return {};
        QStyleOptionViewItem option;
        initViewItemOption(&option);
        option.rect = visualRect(index);
        option.features |= QStyleOptionViewItem::HasCheckIndicator;
        return style()->subElementRect(QStyle::SE_ItemViewItemCheckIndicator, &option, this);
    }
};

RunsPanel::RunsPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent)
    , m_workspace(workspace)
    , m_view(new View(this)) {
    setMinimumWidth(210);
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
    connect(m_view->selectionModel(), &QItemSelectionModel::selectionChanged, this, [this] {
        const QModelIndexList rows = m_view->selectionModel()->selectedRows();
        if (!rows.isEmpty() && !m_refreshing) m_workspace.show(m_workspace.runs().idAt(rows.front().row()));
    });
    connect(m_view, &QTreeView::activated, this,
            [this](const QModelIndex& index) { m_workspace.show(m_workspace.runs().idAt(index.row())); });
    connect(m_view, &QWidget::customContextMenuRequested, this, &RunsPanel::menu);
    auto* remove = new QShortcut(QKeySequence::Delete, m_view, nullptr, nullptr, Qt::WidgetShortcut);
    connect(remove, &QShortcut::activated, this, [this] {
        if (m_workspace.shownRun() > 0) m_workspace.removeRun(m_workspace.shownRun());
    });
    auto* buttons = new QHBoxLayout;
    const auto add = [&](const QString& text, const QString& tip, auto call) {
        auto* button = new QPushButton(text, this);
        button->setToolTip(tip);
        button->setAccessibleDescription(tip);
        connect(button, &QPushButton::clicked, this, call);
        buttons->addWidget(button);
        return button;
    };
    m_plan = add(QStringLiteral("Show plan"),
                 QStringLiteral("The timeline shows the plan of the controls as they stand"), [this] {
                     m_workspace.show(0);
                     refreshShown();
                 });
    m_plan->setCheckable(true);
    add(QStringLiteral("Keep plan"), QStringLiteral("Puts the plan as it stands into this list, to compare with"),
        [this] { m_workspace.keepPlan(); });
    layout->addLayout(buttons);
    connect(&workspace, &Workspace::shownChanged, this, &RunsPanel::refreshShown);
    connect(&workspace, &Workspace::planChanged, this, &RunsPanel::refreshShown);
    refreshShown();
}

// Names come first: where there is little room, the times are left out.
void RunsPanel::resizeEvent(QResizeEvent* event) {
    QWidget::resizeEvent(event);
    constexpr int roomForAll = 270;
    m_view->setColumnHidden(RunsModel::Duration, width() < roomForAll);
}

void RunsPanel::refreshShown() {
    const RunsModel& runs = m_workspace.runs();
    m_plan->setChecked(m_workspace.shown() && m_workspace.shown() == m_workspace.plan());
    m_refreshing = true;
    const int row = runs.rowOf(runs.shown());
    if (row < 0)
        m_view->clearSelection();
    else
        m_view->setCurrentIndex(runs.index(row, 0));
    m_refreshing = false;
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
