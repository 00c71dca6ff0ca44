#pragma once
// The real window with its engine, for tests that use it as a person would.

#include "tests/support/qt_support.h"

#include "app/widgets/main_window.h"
#include "app/widgets/theme.h"

#include <QApplication>
#include <QFileDialog>
#include <QLineEdit>
#include <QSignalSpy>
#include <QTest>
#include <QTimer>

#include <gtest/gtest.h>

namespace spikescope {

struct Desk {
    Engine engine;
    Workspace workspace{engine};
    MainWindow window{workspace, engine};
    QStringList errors;

    explicit Desk(const char* model = "taesd", std::uint64_t side = 64) {
        applyTheme(*qApp, Theme::Light);
        QCoreApplication::setAttribute(Qt::AA_DontUseNativeDialogs);
        QObject::connect(&workspace, &Workspace::told, &workspace, [this](const Notice& notice) {
            if (notice.kind == Notice::Kind::Error) errors << notice.text;
        });
        window.resize(1300, 850);
        window.show();
        EXPECT_TRUE(QTest::qWaitForWindowExposed(&window));
        Controls controls;
        controls.model = model;
        controls.device = "cpu";
        controls.width = controls.height = side;
        workspace.restore(controls, {});
        EXPECT_TRUE(wait([&] { return workspace.plan() != nullptr; }));
    }
    // The next file dialog gets this path.
    void answerDialog(const QString& path) {
        auto* timer = new QTimer(&window);
        QObject::connect(timer, &QTimer::timeout, &window, [path, timer] {
            auto* dialog = qobject_cast<QFileDialog*>(QApplication::activeModalWidget());
            if (!dialog) return;
            timer->deleteLater();
            dialog->findChild<QLineEdit*>()->setText(path);
            QTest::keyClick(dialog->findChild<QLineEdit*>(), Qt::Key_Return);
        });
        timer->start(20);
    }
    void key(Qt::Key key, Qt::KeyboardModifiers modifiers = Qt::NoModifier) {
        window.activateWindow(); // a dialog may have had the keys
        EXPECT_TRUE(QTest::qWaitForWindowActive(&window));
        QTest::keyClick(&window, key, modifiers);
        drain();
    }
    bool run() {
        QSignalSpy finished(&workspace, &Workspace::runFinished);
        key(Qt::Key_R, Qt::ControlModifier);
        return wait([&] { return finished.count() > 0; });
    }
    template <class Widget> Widget* child(const char* name) {
        return window.findChild<Widget*>(QString::fromUtf8(name));
    }
};

} // namespace spikescope
