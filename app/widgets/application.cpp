#include "app/widgets/application.h"

#include "core/base/caught.h"

#include <QEvent>
#include <QLabel>
#include <QThread>

namespace spikescope {

Application::Application(int& argc, char** argv)
    : QApplication(argc, argv) {}

bool Application::notify(QObject* receiver, QEvent* event) {
    // No label guesses whether its text is markup: names out of files are none. Those with markup say so themselves,
    // and tips have theirs from plainTip().
    if (event->type() == QEvent::Polish)
        if (auto* label = qobject_cast<QLabel*>(receiver);
            label && label->textFormat() == Qt::AutoText && !label->inherits("QTipLabel"))
            label->setTextFormat(Qt::PlainText);
    const auto handled = caught([&] { return Result<bool>(QApplication::notify(receiver, event)); });
    if (handled) return *handled;
    // Events of other threads come here as well.
    if (QThread::currentThread() != thread()) return true;
    (void)caught([&]() -> Result<void> {
        // What fails while painting fails again when the notice is painted; that is said once a second.
        constexpr qint64 pauseMs = 1000;
        const QString sentence = QString::fromStdString(handled.error().message);
        if (sentence == m_last && m_sinceLast.isValid() && m_sinceLast.elapsed() < pauseMs) return {};
        m_last = sentence;
        m_sinceLast.start();
        Q_EMIT failed(sentence);
        return {};
    });
    return true;
}

} // namespace spikescope
