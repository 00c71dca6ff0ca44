#pragma once
// Two short texts: the keys, and the words.

class QWidget;

namespace spikescope::help {

void showKeys(QWidget* parent);
void showGlossary(QWidget* parent);

} // namespace spikescope::help
