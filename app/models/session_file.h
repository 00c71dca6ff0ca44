#pragma once
// A session as a file: controls, all runs with their pictures, what is overlaid, markers, and how the window was laid
// out. Lines of JSON: first a header, then for each run a line about it and its report as core/formats/write_report.h
// writes it, so a reader never holds more than it needs.

#include "app/models/chart_scene.h"
#include "app/models/runs_model.h"
#include "app/models/view_state.h"
#include "core/program/controls.h"

#include <QByteArray>

namespace spikescope {

struct SessionData {
    Controls controls;
    InputSource input;
    std::string preset;         // see Setting
    std::vector<RunEntry> runs; // ids count from 1
    int shown = 0, badgeA = 0, badgeB = 0;
    AxisKind axis = AxisKind::Layers;
    bool overlaysByLayer = true;
    Range view;
    std::uint32_t cursor = noIndex;
    std::vector<ChartMarker> markers;
    QByteArray geometry, layout; // QMainWindow::saveGeometry() and saveState()
};

// Whole or not at all; on any thread.
Result<void> saveSession(const SessionData& session, const std::string& path);
// Nothing in the file is trusted: controls that are not known any more are refused by name, indices that point nowhere
// are left out. On any thread.
Result<SessionData> readSession(const std::string& path, const std::function<bool(double)>& progress = {});

} // namespace spikescope
