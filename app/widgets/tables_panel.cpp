#include "app/widgets/tables_panel.h"

#include <QAction>
#include <QApplication>
#include <QClipboard>
#include <QFileDialog>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QTime>
#include <QTimer>
#include <QToolButton>
#include <QVBoxLayout>

#include "core/base/output_file.h"
#include "core/base/text.h"

namespace spikescope {

namespace {

// What a column's texts take, and its title, of which the arrow that shows the order may cover a part.
int widthOf(const QAbstractItemView& view, int column) {
    constexpr int padding = 8, titlePadding = 14, most = 380;
    const QString title = view.model()->headerData(column, Qt::Horizontal, Qt::DisplayRole).toString();
    // Times come while they are looked at.
    const int least =
        view.fontMetrics().horizontalAdvance(title == QLatin1String("Time") ? QStringLiteral("000.00 ms") : title);
    return std::min(std::max(view.sizeHintForColumn(column) + padding, least + titlePadding), most);
}

QStringList titlesOf(const QAbstractItemModel& model) {
    QStringList titles;
    for (int i = 0; i < model.columnCount(); ++i)
        titles << model.headerData(i, Qt::Horizontal, Qt::DisplayRole).toString();
    return titles;
}

QString timesNote(const AdviceResult& result, const std::optional<Workspace::Measuring>& measuring) {
    if (measuring)
        return measuring->total == 0
                   ? QStringLiteral("Measuring this device …")
                   : QStringLiteral("Measuring this device: %1 of %2 calls").arg(measuring->done).arg(measuring->total);
    if (!result.advice || !result.advice->ms) return {};
    if (!result.timed) return QStringLiteral("Times: order only, this device was not measured");
    return QStringLiteral("Now about %1 by times measured on this device")
        .arg(QString::fromStdString(formatDuration(*result.advice->ms)));
}

} // namespace

TablesPanel::TablesPanel(Workspace& workspace, QWidget* parent)
    : QTabWidget(parent)
    , m_workspace(workspace)
    , m_layers(new LayersModel(layerColumns(), this))
    , m_alive(new AliveModel(aliveColumns(), this))
    , m_advice(new AdviceModel(adviceColumns(), this))
    , m_compare(new CompareModel({}, this))
    , m_events(new EventsModel(eventColumns(), this))
    , m_log(new QPlainTextEdit(this))
    , m_measure(new QPushButton(QStringLiteral("Measure times"), this)) {
    setDocumentMode(true);
    setObjectName(QStringLiteral("tables"));
    addPage(
        Layers, QStringLiteral("Layers"),
        QStringLiteral(
            "Every layer in order of execution; a selection on the timeline narrows it. Enter shows the layer's peak."),
        m_layers);
    addPage(Alive, QStringLiteral("Alive now"),
            QStringLiteral(
                "Every tensor that is alive at the cursor, largest first. Enter goes to where it was allocated."),
            m_alive);
    Page& advice = addPage(AdviceTab, QStringLiteral("Advice"),
                           QStringLiteral("Every single change of a control from where they stand. Enter or a click "
                                          "on its name applies it; undo takes it back."),
                           m_advice);
    addPage(Compare, QStringLiteral("Compare"),
            QStringLiteral("The run that is shown and all ticked ones, side by side"), m_compare);
    addPage(Events, QStringLiteral("Events"),
            QStringLiteral("Every event; a selection on the timeline narrows it. Enter puts the cursor there."),
            m_events);
    m_log->setReadOnly(true);
    m_log->setAccessibleName(QStringLiteral("Log"));
    m_log->setFrameShape(QFrame::NoFrame);
    addTab(m_log, QStringLiteral("Log"));
    setTabToolTip(Log, QStringLiteral("What the program had to say"));

    m_measure->setObjectName(QStringLiteral("measure"));
    m_measure->setToolTip(
        QStringLiteral("Times every kernel over small pictures, which takes at most 15 seconds on a "
                       "GPU and 30 on a CPU device, so that advice knows what a change costs in time"));
    advice.view->parentWidget()->findChild<QHBoxLayout*>()->insertWidget(1, m_measure);
    // The name of a flip is a link; the rest of its row only selects.
    advice.view->setMouseTracking(true);
    connect(advice.view, &QTableView::clicked, this, [this](const QModelIndex& index) {
        if (index.column() == 0) activated(AdviceTab, index.row());
    });
    connect(m_measure, &QPushButton::clicked, this,
            [this] { m_workspace.measuringRates() ? m_workspace.stopMeasuring() : m_workspace.measureRates(); });
    connect(&workspace, &Workspace::deviceChanged, this, [this] { spoil({AdviceTab}); });

    connect(this, &QTabWidget::currentChanged, this, [this] {
        refreshVisible();
        markCursor();
    });
    connect(&workspace, &Workspace::sceneChanged, this, [this] { spoil({Layers, AdviceTab, Compare, Events}); });
    connect(&workspace, &Workspace::cursorChanged, this, [this] {
        spoil({Alive});
        markCursor();
    });
    connect(&workspace, &Workspace::selectionChanged, this, [this] { spoil({Layers, Events}); });
    connect(&workspace, &Workspace::runStateChanged, this, &TablesPanel::refreshVisible);
    connect(&workspace, &Workspace::adviceChanged, this, [this] { spoil({AdviceTab}); });
    auto* copyAction = new QAction(QStringLiteral("Copy"), this);
    copyAction->setShortcut(QKeySequence::Copy);
    copyAction->setShortcutContext(Qt::WidgetWithChildrenShortcut);
    connect(copyAction, &QAction::triggered, this, &TablesPanel::copy);
    addAction(copyAction);
}

TablesPanel::Page& TablesPanel::addPage(Tab tab, const QString& title, const QString& tip, TableModel* model) {
    Page& page = m_pages[tab];
    auto* content = new QWidget(this);
    auto* layout = new QVBoxLayout(content);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(0);
    auto* bar = new QHBoxLayout;
    bar->setContentsMargins(8, 4, 8, 4);
    page.filter = new QLineEdit(content);
    page.filter->setPlaceholderText(QStringLiteral("Filter"));
    page.filter->setClearButtonEnabled(true);
    page.filter->setMaximumWidth(220);
    page.filter->setAccessibleName(QStringLiteral("Filter of the table ") + title);
    page.note = new QLabel(content);
    page.note->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    bar->addWidget(page.filter, 1);
    bar->addSpacing(8);
    bar->addWidget(page.note, 2);
    const auto button = [&](const QString& text, const QString& buttonTip, auto call) {
        auto* tool = new QToolButton(content);
        tool->setText(text);
        tool->setToolTip(buttonTip);
        tool->setAutoRaise(true);
        connect(tool, &QToolButton::clicked, this, call);
        bar->addWidget(tool);
    };
    button(QStringLiteral("Copy"), QStringLiteral("The table, or the selected rows, to the clipboard (Ctrl+C)"),
           [this] { copy(); });
    button(QStringLiteral("CSV…"), QStringLiteral("The table as a CSV file, with unrounded bytes"),
           [this] { saveCsv(); });
    layout->addLayout(bar);
    page.model = model;
    page.view = new QTableView(content);
    page.view->setModel(model);
    page.view->setObjectName(QStringLiteral("table:") + title);
    page.view->setAccessibleName(title);
    page.view->setAccessibleDescription(tip);
    page.view->setSelectionBehavior(QAbstractItemView::SelectRows);
    page.view->setAlternatingRowColors(true);
    page.view->setShowGrid(false);
    page.view->setWordWrap(false);
    page.view->setTabKeyNavigation(false);
    const bool hasPaths = tab == Layers || tab == Alive || tab == Events; // which begin alike
    page.view->setTextElideMode(hasPaths ? Qt::ElideLeft : Qt::ElideMiddle);
    page.view->viewport()->installEventFilter(this);
    if (tab == Layers) page.yielding = {{.column = 0, .least = 120}, {.column = 1, .least = 76}};
    if (tab == Alive) page.yielding = {{.column = 0, .least = 130}};
    if (tab == AdviceTab) page.yielding = {{.column = model->columnCount() - 1, .least = 80}};
    page.view->setFrameShape(QFrame::NoFrame);
    page.view->verticalHeader()->hide();
    page.view->verticalHeader()->setDefaultSectionSize(page.view->fontMetrics().height() + 7);
    page.view->verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
    page.view->horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
    page.view->horizontalHeader()->setHighlightSections(false);
    page.view->setSortingEnabled(true);
    layout->addWidget(page.view, 1);
    addTab(content, title);
    setTabToolTip(tab, tip);
    // A table of a million events is not searched anew with every letter.
    auto* pause = new QTimer(page.filter);
    pause->setSingleShot(true);
    pause->setInterval(200);
    connect(page.filter, &QLineEdit::textChanged, pause, qOverload<>(&QTimer::start));
    connect(pause, &QTimer::timeout, model, [model, filter = page.filter] { model->setFilter(filter->text()); });
    connect(page.view, &QTableView::entered, page.view, [view = page.view, tab](const QModelIndex& index) {
        view->viewport()->setCursor(tab == AdviceTab && index.column() == 0 ? Qt::PointingHandCursor : Qt::ArrowCursor);
    });
    connect(page.view, &QTableView::activated, this,
            [this, tab](const QModelIndex& index) { activated(tab, index.row()); });
    return page;
}

void TablesPanel::spoil(std::initializer_list<Tab> tabs) {
    for (const Tab tab : tabs) m_pages[tab].stale = true;
    refreshVisible();
}

void TablesPanel::refreshVisible() {
    const auto tab = static_cast<Tab>(currentIndex());
    if (tab == Log || !m_pages[tab].stale || !isVisible()) return;
    // A run has better use for the processor than tables that change before they are read.
    constexpr qint64 whileRunningMs = 2000;
    if (m_workspace.runState().running && m_refreshed.isValid() && m_refreshed.elapsed() < whileRunningMs) return;
    m_refreshed.start();
    m_pages[tab].stale = false;
    refresh(tab);
    markCursor(); // new rows are not marked yet
}

int TablesPanel::rowOfCursor(Tab tab) const {
    const TimelinePtr timeline = m_workspace.shown();
    if (!timeline || m_workspace.cursor() >= timeline->eventCount()) return -1;
    const Recording& recording = timeline->recording();
    if (tab == Events) {
        for (int i = 0; i < m_events->rowCount(); ++i)
            if (m_events->row(i).event == m_workspace.cursor()) return i;
        return -1;
    }
    if (tab != Layers || recording.ops.empty()) return -1;
    const auto op =
        std::min(static_cast<std::size_t>(recording.events[m_workspace.cursor()].op), recording.ops.size() - 1);
    int found = -1;
    for (int i = 0; i < m_layers->rowCount(); ++i) {
        const LayerRow& row = m_layers->row(i);
        if (op < row.firstOp || op > row.lastOp) continue;
        found = i;
        // Loading has a row for each kind of op, and these lie among each other.
        if (row.op == recording.ops[op].name) break;
    }
    return found;
}

void TablesPanel::markCursor() {
    const auto tab = static_cast<Tab>(currentIndex());
    if (tab != Layers && tab != Events) return;
    Page& page = m_pages[tab];
    // A run under way says so often where the cursor is: whoever reads elsewhere is left there.
    const bool moved = page.marked != m_workspace.cursor();
    QItemSelectionModel& selection = *page.view->selectionModel();
    if (!moved && selection.hasSelection()) return;
    const int row = rowOfCursor(tab);
    if (row < 0) { // not in the selected range, or not in the table yet
        selection.clearSelection();
        return;
    }
    page.marked = m_workspace.cursor();
    const QModelIndex index = page.model->index(row, 0);
    selection.select(index, QItemSelectionModel::ClearAndSelect | QItemSelectionModel::Rows);
    if (!moved) return;
    page.view->setCurrentIndex(index);
    page.view->scrollTo(index); // not every view is on the screen yet and does it by itself
}

void TablesPanel::resizeEvent(QResizeEvent* event) {
    QTabWidget::resizeEvent(event);
    if (const auto tab = static_cast<Tab>(currentIndex()); tab == Layers || tab == Events)
        m_pages[tab].view->scrollTo(m_pages[tab].view->currentIndex());
}

void TablesPanel::refresh(Tab tab) {
    const TimelinePtr timeline = m_workspace.shown();
    const ChartScene& scene = m_workspace.scene();
    const auto selection = m_workspace.selection();
    Page& page = m_pages[tab];
    const QStringList titlesBefore = titlesOf(*page.model);
    const bool empty = page.model->rowCount() == 0;
    switch (tab) {
    case Layers: {
        std::vector<LayerRow> rows;
        if (timeline)
            for (const LayerRow& row : timeline->layers())
                if (!selection || (scene.shown.opEnds[row.lastOp] >= selection->begin &&
                                   scene.shown.opBegins[row.firstOp] <= selection->end))
                    rows.push_back(row);
        page.note->setText(selection ? QStringLiteral("%1 rows in the selection").arg(rows.size()) : QString());
        m_layers->setRows(std::move(rows));
        page.view->setColumnHidden(layerTimeColumn, !timeline || !timeline->timed()); // a plan has none
        break;
    }
    case Alive: {
        std::vector<AliveRow> rows;
        if (timeline) rows = aliveRows(*timeline, m_workspace.cursor());
        if (timeline && m_workspace.cursor() < timeline->eventCount())
            page.note->setText(QStringLiteral("%1 tensors, %2 on the device, after event %3")
                                   .arg(rows.size())
                                   .arg(bytesText(timeline->allocated().value(m_workspace.cursor())))
                                   .arg(m_workspace.cursor()));
        m_alive->setRows(std::move(rows));
        break;
    }
    case AdviceTab: {
        const AdviceResult& result = m_workspace.advice();
        m_advice->setRows(result.advice ? adviceRows(*result.advice, result.controls, result.timed)
                                        : std::vector<AdviceRow>());
        const auto& measuring = m_workspace.measuringRates();
        m_measure->setText(measuring      ? QStringLiteral("Stop measuring")
                           : result.timed ? QStringLiteral("Measure again")
                                          : QStringLiteral("Measure times"));
        m_measure->setEnabled(!m_workspace.runState().running && m_workspace.device().known);
        page.note->setText(timesNote(result, measuring));
        if (m_workspace.showsOtherControls())
            page.note->setText(QStringLiteral("Of the controls on the left, not of what is shown. ") +
                               page.note->text());
        break;
    }
    case Compare: {
        std::vector<std::pair<QString, TimelinePtr>> runs;
        if (timeline) runs.emplace_back(scene.shownLabel, timeline);
        for (const OverlayCurve& overlay : scene.overlays) runs.emplace_back(overlay.label, overlay.curve.timeline);
        if (scene.ghost) runs.emplace_back(QStringLiteral("plan of the controls"), scene.ghost->timeline);
        std::vector<QString> labels;
        for (const auto& [label, of] : runs) labels.push_back(label);
        m_compare->setColumns(compareColumns(labels), runs.empty() ? std::vector<CompareRow>() : compareRows(runs));
        page.note->setText(runs.size() < 2 ? QStringLiteral("Tick runs to compare them with the one that is shown")
                                           : QStringLiteral("Differences against %1").arg(labels.front()));
        break;
    }
    case Events: {
        std::vector<EventRow> rows;
        if (timeline) {
            const auto& placed = scene.shown.events;
            const auto begin = selection ? std::ranges::lower_bound(placed, selection->begin) - placed.begin() : 0;
            const auto end = selection ? std::ranges::upper_bound(placed, selection->end) - placed.begin()
                                       : static_cast<std::ptrdiff_t>(placed.size());
            rows.reserve(static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, end - begin)));
            for (auto i = begin; i < end; ++i)
                rows.push_back({.timeline = timeline.get(), .event = static_cast<std::uint32_t>(i)});
        }
        page.note->setText(QStringLiteral("%L1 events%2")
                               .arg(rows.size())
                               .arg(selection ? QStringLiteral(" in the selection") : QString()));
        // Rows point into the timeline: the old one stays until the old rows are gone.
        const TimelinePtr old = std::exchange(m_eventsTimeline, timeline);
        m_events->setRows(std::move(rows));
        break;
    }
    default: return;
    }
    // Widths are set once, for good reason or by the user.
    if ((empty || titlesOf(*page.model) != titlesBefore) && page.model->rowCount() > 0) {
        for (int i = 0; i < page.model->columnCount(); ++i) page.view->setColumnWidth(i, widthOf(*page.view, i));
    }
    for (Yielding& each : page.yielding)
        if (page.model->rowCount() > 0)
            each.wanted = std::max(each.wanted, widthOf(*page.view, each.column)); // later rows may be longer
    fitColumns(page);
}

// As wide as their texts where there is room, else narrower, so that all columns are seen; but not too narrow to be
// read.
void TablesPanel::fitColumns(Page& page) {
    int missing = -page.view->viewport()->width();
    for (int i = 0; i < page.model->columnCount(); ++i) {
        const auto yielding = std::ranges::find(page.yielding, i, &Yielding::column);
        if (page.view->isColumnHidden(i)) continue;
        missing += yielding == page.yielding.end() ? page.view->columnWidth(i) : yielding->wanted;
    }
    for (const Yielding& each : page.yielding) {
        if (each.wanted == 0) continue; // nothing is there yet
        const int width = std::max(each.wanted - std::max(missing, 0), std::min(each.least, each.wanted));
        missing -= each.wanted - width;
        page.view->setColumnWidth(each.column, width);
    }
}

bool TablesPanel::eventFilter(QObject* watched, QEvent* event) {
    if (event->type() == QEvent::Resize)
        for (Page& page : m_pages)
            if (page.view && page.view->viewport() == watched) fitColumns(page);
    return QTabWidget::eventFilter(watched, event);
}

void TablesPanel::focusFilter() {
    if (currentIndex() == Log) return;
    QLineEdit* filter = m_pages[static_cast<std::size_t>(currentIndex())].filter;
    filter->setFocus(Qt::ShortcutFocusReason);
    filter->selectAll();
}

void TablesPanel::activated(Tab tab, int row) {
    const TimelinePtr timeline = m_workspace.shown();
    switch (tab) {
    case Layers: {
        if (!timeline) return;
        const LayerRow& layer = m_layers->row(row);
        const auto& events = timeline->recording().events;
        const auto first = std::ranges::lower_bound(events, layer.firstOp, {}, &Event::op) - events.begin();
        const auto last = std::ranges::upper_bound(events, layer.lastOp, {}, &Event::op) - events.begin();
        if (last > first)
            m_workspace.setCursor(
                timeline->allocated().extremes(static_cast<std::size_t>(first), static_cast<std::size_t>(last)).most);
        return;
    }
    case Alive: m_workspace.setCursor(m_alive->row(row).since); return;
    case Events: m_workspace.setCursor(m_events->row(row).event); return;
    case AdviceTab: {
        const Flip flip = m_advice->row(row).flip;
        m_workspace.setControl(flip.control, QString::fromStdString(flip.to));
        return;
    }
    default: return;
    }
}

TableModel* TablesPanel::currentModel() const {
    return currentIndex() == Log ? nullptr : m_pages[static_cast<std::size_t>(currentIndex())].model;
}

void TablesPanel::copy() {
    if (currentIndex() == Log) {
        m_log->copy();
        return;
    }
    const Page& page = m_pages[static_cast<std::size_t>(currentIndex())];
    QStringList lines;
    const auto line = [&](auto cell) {
        QStringList cells;
        for (int i = 0; i < page.model->columnCount(); ++i) cells << cell(i);
        lines << cells.join(QLatin1Char('\t'));
    };
    line([&](int i) { return page.model->headerData(i, Qt::Horizontal, Qt::DisplayRole).toString(); });
    QModelIndexList rows = page.view->selectionModel()->selectedRows();
    std::ranges::sort(rows, {}, &QModelIndex::row);
    const auto addRow = [&](int row) { line([&](int i) { return page.model->index(row, i).data().toString(); }); };
    if (rows.size() > 1)
        for (const QModelIndex& row : rows) addRow(row.row());
    else
        for (int row = 0; row < page.model->rowCount(); ++row) addRow(row);
    QApplication::clipboard()->setText(lines.join(QLatin1Char('\n')));
}

void TablesPanel::saveCsv() {
    const TableModel* model = currentModel();
    if (!model) return;
    const QString path = QFileDialog::getSaveFileName(this, QStringLiteral("Save the table"),
                                                      QStringLiteral("table.csv"), QStringLiteral("CSV (*.csv)"));
    if (path.isEmpty()) return;
    Result<void> written = m_workspace.checkExport(path);
    if (written) written = writeText(path.toStdString(), model->csv());
    m_workspace.tell(
        written ? Notice{.kind = Notice::Kind::Note, .text = QStringLiteral("Saved ") + path}
                : Notice{.kind = Notice::Kind::Error, .text = QString::fromStdString(written.error().message)});
}

void TablesPanel::log(const Notice& notice) {
    static const std::array kinds{QStringLiteral("note"), QStringLiteral("warning"), QStringLiteral("error")};
    m_log->appendPlainText(QStringLiteral("%1  %2  %3")
                               .arg(QTime::currentTime().toString(QStringLiteral("HH:mm:ss")),
                                    kinds[static_cast<std::size_t>(notice.kind)], notice.text));
}

} // namespace spikescope
