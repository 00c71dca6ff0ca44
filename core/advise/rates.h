#pragma once
// How long calls take on a device, as measured there: samples of single calls by kind and size. What is between the
// samples is interpolated; what was measured is returned as it was.

#include "core/advise/program_trace.h"
#include "core/advise/work_kind.h"
#include "core/base/error.h"
#include "core/program/submit_policy.h"

#include <map>
#include <optional>
#include <span>
#include <string>

namespace spikescope {

struct CallSample {
    double work = 0.0; // see workOf()
    double ns = 0.0;
};

// Times of one call on the device, ns.
struct CallTime {
    double ns = 0.0;
    bool isKindKnown = true; // else of the kind that is most like it
};

// What is not the time of a call, in ns: of the device between two ops of one submission, and of the host.
struct OtherCosts {
    double betweenOps = 0.0;
    double perOp = 0.0;   // before its submission
    double perWait = 0.0; // from the end of a batch to the beginning of the next one
    double perReserve = 0.0, perReservedByte = 0.0;
    double perReturn = 0.0, perReturnedByte = 0.0;
    double perUpload = 0.0, perUploadedByte = 0.0; // of inputs after the first of a pass
    double perDownload = 0.0, perDownloadedByte = 0.0;
    bool operator==(const OtherCosts&) const = default;
};

// `trace`: of the plan of the same program.
struct TracedRun {
    const Program& program;
    std::span<const TraceItem> trace;
    const Recording& run;
};

class Rates {
public:
    // Of no device: counted work at 20 TFLOP/s and 500 GB/s, 25 GB/s between device and host, whatever the kernel. Such
    // times order configurations and say no more.
    static Rates ofCountedWork();

    // Replaces the sample of this kind and size, if there is one.
    void set(const std::string& kind, CallSample sample);
    bool knows(const std::string& kind, double work) const;
    std::optional<double> sampleOf(const std::string& kind, double work) const; // ns

    // From a run's own times: of each kind and size the median. Returns how many samples are new or changed.
    // Tiles that ran beside each other have no times of their own.
    // `onlyFaster`: what is known stays where the run was slower.
    std::size_t learnCalls(const TracedRun& traced, bool onlyFaster = false);
    // From the times between the ops of runs.
    void learnOther(std::span<const TracedRun> runs, bool waitsForEachOp);
    void learnTransfers(const TracedRun& run); // between device and host alone

    // Nothing where nothing like it was measured.
    std::optional<CallTime> callTime(const KernelCall& call, const Program& program) const;

    OtherCosts other;
    SubmitPolicy submit; // of the device; not part of the table
    bool counted() const { return m_counted; }
    bool empty() const { return !m_counted && m_calls.empty(); }
    std::size_t size() const; // samples

    std::string toJson() const;
    static Result<Rates> fromJson(std::string_view text);

private:
    using Samples = std::map<double, double>; // ns by work
    static double interpolate(const Samples& samples, double work);
    const Samples* mostLike(std::string_view kind) const;

    std::map<std::string, Samples, std::less<>> m_calls; // by kind
    bool m_counted = false;
};

} // namespace spikescope
