#pragma once
// A label that shows as much of its text as there is room for, with "…" where it goes on, and all of it in its tip.

#include <QLabel>

namespace spikescope {

class ElidedLabel final : public QLabel {
    Q_OBJECT
public:
    explicit ElidedLabel(QWidget* parent = nullptr);
    void setFullText(const QString& text); // plain
    const QString& fullText() const { return m_full; }
    QSize minimumSizeHint() const override { return {0, fontMetrics().lineSpacing()}; }
    QSize sizeHint() const override;

protected:
    void resizeEvent(QResizeEvent* event) override;
    void changeEvent(QEvent* event) override;

private:
    void elide();

    QString m_full;
};

} // namespace spikescope
