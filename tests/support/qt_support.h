#pragma once
// Waiting for the window's engine in tests, and folders that go away.

#include <QCoreApplication>
#include <QElapsedTimer>
#include <QTemporaryDir>
#include <QThread>

namespace spikescope {

// Runs the event loop until `condition` holds; false when it does not within a time that only a hang would need.
template <class Condition> bool wait(Condition condition, int seconds = 60) {
    QElapsedTimer timer;
    timer.start();
    while (!condition()) {
        if (timer.elapsed() > 1000 * seconds) return false;
        QCoreApplication::processEvents(QEventLoop::AllEvents, 20);
        QThread::msleep(1);
    }
    return true;
}

inline void drain() {
    for (int i = 0; i < 5; ++i) {
        QCoreApplication::processEvents();
        QThread::msleep(2);
    }
}

class TemporaryFolder {
public:
    std::string file(const char* name) const { return m_folder.filePath(QString::fromUtf8(name)).toStdString(); }
    QString path() const { return m_folder.path(); }

private:
    QTemporaryDir m_folder;
};

} // namespace spikescope
