#pragma once
// The application, which outlives what its widgets throw: Qt does not, it ends the program.

#include <QApplication>
#include <QElapsedTimer>

namespace spikescope {

class Application final : public QApplication {
    Q_OBJECT
public:
    Application(int& argc, char** argv); // which stay as long as it does
    bool notify(QObject* receiver, QEvent* event) override;

Q_SIGNALS:
    void failed(const QString& sentence); // what handling an event threw

private:
    QElapsedTimer m_sinceLast;
    QString m_last;
};

} // namespace spikescope
