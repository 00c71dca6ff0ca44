#include "app/widgets/notice_bar.h"

#include "app/widgets/theme.h"

#include <QEvent>
#include <QHBoxLayout>
#include <QToolButton>

#include <algorithm>

namespace spikescope {

NoticeBar::NoticeBar(Workspace& workspace, QWidget* parent)
    : QFrame(parent)
    , m_workspace(workspace)
    , m_text(new QLabel(this))
    , m_choices(new QComboBox(this))
    , m_use(new QPushButton(QStringLiteral("Use"), this)) {
    setObjectName(QStringLiteral("notice"));
    setAccessibleName(QStringLiteral("Message"));
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(12, 5, 6, 5);
    layout->addWidget(m_text, 1);
    layout->addWidget(m_choices);
    layout->addWidget(m_use);
    m_text->setWordWrap(true);
    m_text->setTextFormat(Qt::PlainText);
    m_text->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_choices->setObjectName(QStringLiteral("choices"));
    m_use->setObjectName(QStringLiteral("useChoice"));
    m_choices->setAccessibleName(QStringLiteral("What to use"));
    auto* close = new QToolButton(this);
    close->setText(QStringLiteral("✕"));
    close->setAutoRaise(true);
    close->setAccessibleName(QStringLiteral("Close the message"));
    layout->addWidget(close);
    connect(close, &QToolButton::clicked, this, &QWidget::hide);
    connect(m_use, &QPushButton::clicked, this, [this] {
        hide();
        m_workspace.choose(static_cast<std::size_t>(std::max(m_choices->currentIndex(), 0)));
    });
    connect(&workspace, &Workspace::done, this, [this] {
        if (!m_workspace.holds(m_notice)) hide();
    });
    hide();
}

void NoticeBar::changeEvent(QEvent* event) {
    QFrame::changeEvent(event);
    if (event->type() == QEvent::PaletteChange) paint(); // the style sheet has colours of the theme in it
}

void NoticeBar::paint() {
    const Notice::Kind kind = m_notice.kind;
    const QColor edge = kind == Notice::Kind::Error ? chartColours().failure : palette().color(QPalette::Highlight);
    QColor ground = edge;
    ground.setAlpha(darkTheme() ? 60 : 28);
    const QString sheet = QStringLiteral("#notice { background: rgba(%1,%2,%3,%4); border-left: 4px solid %5; }")
                              .arg(ground.red())
                              .arg(ground.green())
                              .arg(ground.blue())
                              .arg(ground.alpha())
                              .arg(edge.name());
    if (sheet != styleSheet()) setStyleSheet(sheet); // which changes the palette once more
}

void NoticeBar::show(const Notice& notice) {
    m_notice = notice;
    paint();
    m_choices->hide();
    m_use->hide();
    m_text->setText(notice.text);
    setVisible(true);
}

void NoticeBar::ask() {
    const auto& file = m_workspace.awaitingChoice();
    if (!file) return;
    m_notice = {};
    paint();
    m_text->setText(textOf(file->question));
    m_choices->clear();
    for (const OpenedFile::Choice& choice : file->choices) m_choices->addItem(textOf(choice.text));
    m_choices->show();
    m_use->show();
    setVisible(true);
    m_choices->setFocus();
}

} // namespace spikescope
