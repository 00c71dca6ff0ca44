#include "app/widgets/fit_bar.h"

#include <QHBoxLayout>
#include <QVBoxLayout>

namespace spikescope {

FitBar::FitBar(Workspace& workspace, QWidget* parent)
    : QWidget(parent)
    , m_workspace(workspace)
    , m_fit(new QPushButton(this))
    , m_approximate(new QCheckBox(QStringLiteral("approximate tiles"), this))
    , m_dtype(new QCheckBox(QStringLiteral("fewer bits"), this)) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(10, 0, 10, 8);
    layout->setSpacing(4);
    layout->addWidget(m_fit);
    auto* allowed = new QHBoxLayout;
    allowed->addWidget(m_approximate);
    allowed->addWidget(m_dtype);
    allowed->addStretch(1);
    layout->addLayout(allowed);
    const auto describe = [](QWidget* widget, const char* name, const QString& what, const QString& tip) {
        widget->setObjectName(QString::fromUtf8(name));
        widget->setAccessibleName(what);
        widget->setAccessibleDescription(tip);
        widget->setToolTip(tip);
    };
    describe(m_fit, "fit", QStringLiteral("Fit into the budget"), {});
    describe(m_approximate, "fit:approximate", QStringLiteral("Fit may take approximate tiles"),
             QStringLiteral("Where nothing exact fits, the search may take independent tiles, of which norms and "
                            "attention see one only: the picture changes, most at their edges"));
    describe(
        m_dtype, "fit:dtype", QStringLiteral("Fit may take fewer bits"),
        QStringLiteral("Where nothing else fits, the search may store weights and activations with 16 bits in place of "
                       "32: the picture changes a little everywhere"));
    connect(m_fit, &QPushButton::clicked, this, [this] {
        if (m_workspace.fitting())
            m_workspace.cancelFitting();
        else
            m_workspace.fitIntoRoom(wish());
    });
    connect(&workspace, &Workspace::fittingChanged, this, &FitBar::refresh);
    connect(&workspace, &Workspace::planChanged, this, &FitBar::refresh);
    connect(&workspace, &Workspace::deviceChanged, this, &FitBar::refresh);
    connect(&workspace, &Workspace::controlsChanged, this, &FitBar::refresh);
    refresh();
}

FitWish FitBar::wish() const { return {.approximate = m_approximate->isChecked(), .dtype = m_dtype->isChecked()}; }

void FitBar::fitInto(std::uint64_t bytes) { m_workspace.fitIntoRoom(wish(), bytes); }

void FitBar::refresh() {
    const auto availableBytes = m_workspace.availableBytes();
    const bool fitting = m_workspace.fitting();
    m_fit->setText(fitting          ? QStringLiteral("Searching … (press to cancel)")
                   : availableBytes ? QStringLiteral("Fit these controls into %1").arg(bytesText(*availableBytes))
                                    : QStringLiteral("Fit these controls into the budget"));
    m_fit->setEnabled(fitting || (availableBytes && m_workspace.plan()));
    m_fit->setToolTip(availableBytes
                          ? QStringLiteral("Sets the controls to the fastest ones whose reserved peak is planned to "
                                           "fit into %L1 B, exact ones first; undo takes them back (Ctrl+Shift+F)")
                                .arg(*availableBytes)
                          : QStringLiteral("Set a budget first: there is no device whose free memory could be one"));
    m_fit->setAccessibleDescription(m_fit->toolTip());
    for (QCheckBox* box : {m_approximate, m_dtype}) box->setEnabled(!fitting);
}

} // namespace spikescope
