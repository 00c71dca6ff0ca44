#include "core/advise/estimate.h"

#include <algorithm>
#include <deque>

namespace spikescope {

namespace {

// The host prepares ops and hands them over in submissions; the device carries out one after the other. Times in ns
// since the beginning.
class Clocks {
public:
    Clocks(const SubmitPolicy& policy, const OtherCosts& costs)
        : m_policy(policy)
        , m_costs(costs) {}

    void beginPass() {
        submit();
        m_passBegin.reset();
    }
    void call(double ns, double flops, double times) {
        m_host += m_costs.perOp * times;
        m_pending += (ns + m_costs.betweenOps) * times;
        m_flops += flops * times;
        m_hasPending = true;
        if (m_policy.waitForEachOp) {
            submit();
            m_host = std::max(m_host, m_device) + m_costs.perWait * times;
        } else if (m_flops >= static_cast<double>(m_policy.maxFlops)) {
            submit();
        }
    }
    // The device waits for the host here.
    void transfer(double ns) {
        submit();
        m_device = std::max(m_device, m_host) + ns;
    }
    void wait(std::uint32_t ahead, double times) {
        submit();
        m_batches.push_back(m_device);
        if (ahead == 0) {
            m_host = std::max(m_host, m_device) + m_costs.perWait * times;
            m_batches.clear();
        } else if (m_batches.size() > ahead) {
            m_host = std::max(m_host, m_batches[m_batches.size() - 1 - ahead]);
            m_batches.erase(m_batches.begin(), m_batches.end() - ahead);
        }
    }
    void host(double ns) { m_host += ns; }
    void hostWaits() { m_host = std::max(m_host, m_device); }
    double passNs() {
        submit();
        return m_passBegin ? m_device - *m_passBegin : 0.0;
    }

private:
    void submit() {
        if (!m_hasPending) return;
        const double begin = std::max(m_device, m_host);
        if (!m_passBegin) m_passBegin = begin;
        m_device = begin + m_pending;
        m_inFlight.push_back(m_device);
        if (m_inFlight.size() > m_policy.maxInFlight) {
            m_host = std::max(m_host, m_inFlight.front());
            m_inFlight.pop_front();
        }
        m_pending = m_flops = 0.0;
        m_hasPending = false;
    }

    const SubmitPolicy& m_policy;
    const OtherCosts& m_costs;
    double m_host = 0.0;   // until when the host is busy
    double m_device = 0.0; // until when the device has work
    double m_pending = 0.0, m_flops = 0.0;
    bool m_hasPending = false;
    std::optional<double> m_passBegin;
    std::vector<double> m_batches; // ends of those that were not waited for
    std::deque<double> m_inFlight; // ends of submissions
};

struct CallCost {
    double ns = 0.0, flops = 0.0;
    bool isKindKnown = true;
};

} // namespace

std::optional<Estimate> estimatePass(const Program& program, const Recording& plan, std::span<const TraceItem> trace,
                                     const Rates& rates) {
    std::vector<std::optional<CallCost>> costs(program.calls.size());
    Clocks clocks(rates.submit, rates.other);
    double passes = 1.0;             // that the ops of this pass stand for
    double times = 1.0;              // of the last op, within the pass
    double all = 0.0, unknown = 0.0; // ns of the calls of this pass
    for (const TraceItem& item : trace) {
        switch (item.kind) {
        case TraceItem::Kind::Wait: clocks.wait(item.ahead, times); continue;
        case TraceItem::Kind::Reserve:
            clocks.host((rates.other.perReserve + rates.other.perReservedByte * static_cast<double>(item.bytes)) *
                        times);
            continue;
        case TraceItem::Kind::Return:
            clocks.host((rates.other.perReturn + rates.other.perReturnedByte * static_cast<double>(item.bytes)) *
                        times);
            continue;
        case TraceItem::Kind::Work: break;
        }
        const RecordedOp& op = plan.ops[item.op];
        if (!isDecodeOrEncode(op)) continue;
        if (op.kind == OpKind::Upload) {
            clocks.beginPass();
            passes = static_cast<double>(op.times);
            all = unknown = 0.0;
            continue;
        }
        times = static_cast<double>(op.times) / passes;
        if (item.call == noIndex) {
            const auto bytes = static_cast<double>(item.bytes);
            clocks.transfer(times * (op.kind == OpKind::Download
                                         ? rates.other.perDownload + rates.other.perDownloadedByte * bytes
                                         : rates.other.perUpload + rates.other.perUploadedByte * bytes));
            if (op.kind == OpKind::Download) clocks.hostWaits();
            continue;
        }
        std::optional<CallCost>& cost = costs[item.call];
        if (!cost) {
            const KernelCall& call = program.calls[item.call].kernel;
            const auto time = rates.callTime(call, program);
            if (!time) return std::nullopt;
            cost = {
                .ns = time->ns, .flops = static_cast<double>(flops(call, program)), .isKindKnown = time->isKindKnown};
        }
        clocks.call(cost->ns, cost->flops, times);
        all += cost->ns * times;
        if (!cost->isKindKnown) unknown += cost->ns * times;
    }
    return Estimate{.ms = clocks.passNs() / 1e6, .unknown = all > 0.0 ? unknown / all : 0.0};
}

} // namespace spikescope
