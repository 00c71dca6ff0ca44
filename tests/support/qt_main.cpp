// main() of tests that need an application. Off screen unless they ask otherwise, and away from the user's settings.

#include "app/widgets/application.h"

#include <QStandardPaths>
#include <QTemporaryDir>

#include <gtest/gtest.h>

int main(int argc, char** argv) {
    if (qEnvironmentVariableIsEmpty("QT_QPA_PLATFORM")) qputenv("QT_QPA_PLATFORM", "offscreen");
    const QTemporaryDir settings;
    qputenv("XDG_CONFIG_HOME", settings.path().toUtf8());
    QCoreApplication::setOrganizationName(QStringLiteral("spikescope"));
    QCoreApplication::setApplicationName(QStringLiteral("spikescope"));
    spikescope::Application app(argc, argv);
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
