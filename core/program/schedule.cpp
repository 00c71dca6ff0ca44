#include "core/program/schedule.h"

#include "core/base/checked.h"
#include "core/program/layer_groups.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace spikescope {

namespace {

constexpr std::uint32_t never = 0xffffffffu;

class Schedule {
public:
    Schedule(LoweredCalls lowered, const Controls& controls)
        : m_lowered(std::move(lowered))
        , m_controls(controls) {}

    Program run() {
        m_program.retiredReleases = lazy();
        const std::vector<TensorId> resident = emitResident();
        if (m_controls.offload == Offload::BeforeLoad) releaseAll(resident);
        emitLoad();
        emitPasses();
        if (m_controls.offload == Offload::AfterDecode) releaseAll(resident);
        emitWrite();
        if (m_controls.offload == Offload::Never) releaseAll(resident);
        return std::move(m_program);
    }

private:
    bool lazy() const { return m_controls.lifetime == LifetimePolicy::Lazy; }
    void step(Step s) { m_program.steps.push_back(std::move(s)); }
    void releaseAll(const std::vector<TensorId>& tensors) {
        for (const TensorId id : tensors) step(ReleaseStep{id});
    }
    TensorId acquire(Tensor tensor) {
        const TensorId id = m_lowered.add(std::move(tensor));
        step(AcquireStep{id});
        return id;
    }
    TensorId addStaging(LayerId layer, std::uint64_t largestTransfer) {
        const std::uint64_t bytes = std::min(stagingBytes, roundUp<std::uint64_t>(largestTransfer, 256));
        return m_lowered.add({.name = "staging",
                              .layer = layer,
                              .category = Category::Staging,
                              .dtype = DType::F32,
                              .dims = {bytes},
                              .bytes = bytes,
                              .memory = MemoryKind::HostVisible});
    }
    TensorId acquireStaging(LayerId layer, std::uint64_t largestTransfer) {
        const TensorId id = addStaging(layer, largestTransfer);
        step(AcquireStep{id});
        return id;
    }

    // The text encoder and the transformer that ran before.
    std::vector<TensorId> emitResident() {
        std::vector<TensorId> resident;
        const auto take = [&](const char* model, Phase phase, std::uint64_t bytes) {
            if (bytes == 0) return;
            step(PhaseStep{phase});
            const LayerId layer = m_lowered.addLayer(model);
            for (std::uint64_t done = 0; done < bytes; done += residentBlock) {
                const std::uint64_t size = std::min(residentBlock, bytes - done);
                resident.push_back(acquire({.name = fmt::format("{}.{}", model, done / residentBlock),
                                            .layer = layer,
                                            .category = Category::Resident,
                                            .dtype = m_controls.activations,
                                            .dims = {size / sizeOf(m_controls.activations)},
                                            .bytes = size}));
            }
        };
        take("text_encoder", Phase::TextEncode, m_controls.residentText);
        take("transformer", Phase::Denoise, m_controls.residentTransformer);
        return resident;
    }

    void emitLoad() {
        step(PhaseStep{Phase::Load});
        const LayerId layer = m_lowered.addLayer("weights");
        std::vector<TensorId> sources; // of each weight: the host tensor that holds it
        std::vector<TensorId> dictionaries;
        if (m_controls.apply == ApplyPolicy::Dictionary) emitDictionaries(sources, dictionaries);

        std::uint64_t largest = 0;
        for (const TensorId id : m_weights) largest = std::max(largest, m_program.tensor(id).bytes);
        const TensorId staging = acquireStaging(layer, largest);
        for (std::size_t i = 0; i < m_weights.size(); ++i) {
            UploadStep upload{.tensor = m_weights[i], .staging = staging, .from = std::nullopt};
            if (m_controls.apply == ApplyPolicy::Dictionary) upload.from = sources[i];
            step(AcquireStep{m_weights[i]});
            step(upload);
        }
        step(EvaluateStep{});
        step(ReleaseStep{staging});
        releaseAll(dictionaries);
    }

    // One dictionary of all parameters as they are stored, and a second one that holds the kernels transposed.
    void emitDictionaries(std::vector<TensorId>& sources, std::vector<TensorId>& dictionaries) {
        for (const TensorId id : m_weights) {
            const Tensor weight = m_program.tensor(id); // a copy: acquire() moves the tensors
            const Weight& parameter = m_program.weights[weight.weight->index];
            const DType stored = parameter.stored.value_or(m_controls.weightType());
            std::uint64_t elements = 1;
            for (const std::uint64_t dim : parameter.dims) elements *= dim;
            const TensorId entry = acquire({.name = "dictionary/" + weight.name,
                                            .layer = weight.layer,
                                            .category = Category::Weights,
                                            .dtype = stored,
                                            .dims = parameter.dims,
                                            .bytes = elements * sizeOf(stored),
                                            .weight = weight.weight,
                                            .memory = MemoryKind::Host});
            step(FillStep{.tensor = entry, .from = std::nullopt});
            sources.push_back(entry);
        }
        dictionaries = sources;
        for (std::size_t i = 0; i < m_weights.size(); ++i) {
            Tensor transposed = m_program.tensor(m_weights[i]);
            if (m_program.weights[transposed.weight->index].dims.size() != 4) continue;
            transposed.name = "transposed/" + transposed.name;
            transposed.memory = MemoryKind::Host;
            transposed.packed = true;
            const TensorId entry = acquire(std::move(transposed));
            step(FillStep{.tensor = entry, .from = sources[i]});
            sources[i] = entry;
            dictionaries.push_back(entry);
        }
    }

    // The same tensors each time.
    void emitPasses() {
        std::uint64_t largestInput = 0;
        for (const WorkUnit& unit : m_units)
            for (const TileStream& stream : unit.streams)
                largestInput = std::max(largestInput, m_program.tensor(stream.input).bytes);
        // The buffer has two halves, which inputs take in turn.
        m_staging = addStaging(m_program.tensor(m_units.front().streams.front().input).layer,
                               (hasManyInputs() ? 2 : 1) * largestInput);
        const std::uint64_t before = m_controls.repeat - 1; // the last pass
        if (isMerged() && before > 0)
            repeat(newBlock([&] { emitPass(false); }), before);
        else
            for (std::uint64_t i = 0; i < before; ++i) emitPass(false);
        emitPass(true);
    }
    void emitPass(bool last) {
        const bool many = hasManyInputs();
        step(PhaseStep{m_controls.op == VaeTask::Decode ? Phase::Decode : Phase::Encode});
        // With several inputs the staging buffer stays: the next input is written while the device is busy.
        if (many) step(AcquireStep{m_staging});
        for (const TensorId id : m_persistent) emitPersistent(id, m_staging);
        if (isMerged())
            emitSequence(m_lowered.sequences.size() - 1, {.last = last, .ends = true});
        else
            for (const WorkUnit& unit : m_units) emitUnit(unit, {.last = last, .ends = &unit == &m_units.back()});
        releaseAll(m_persistent);
        if (many) step(ReleaseStep{m_staging});
    }

    // Whether a unit is in the last pass, and whether it ends its pass.
    struct Where {
        bool last = false, ends = false;
        auto operator<=>(const Where&) const = default;
    };
    bool isMerged() const { return !m_lowered.sequences.empty(); }
    void emitSequence(std::size_t index, Where where) {
        const Sequence& sequence = m_lowered.sequences[index];
        for (const Sequence::Item& item : sequence.items) {
            const bool ends = where.ends && &item == &sequence.items.back();
            if (item.times > ends)
                repeat(blockFor(sequence.ofUnits, item.index, {.last = where.last}), item.times - ends);
            if (ends) repeat(blockFor(sequence.ofUnits, item.index, {.last = where.last, .ends = true}), 1);
        }
    }
    std::uint32_t blockFor(bool unit, std::size_t index, Where where) {
        const auto known = m_blocks.find({unit, index, where});
        if (known != m_blocks.end()) return known->second;
        const std::uint32_t block =
            newBlock([&] { unit ? emitUnit(m_units[index], where) : emitSequence(index, where); });
        m_blocks.emplace(std::tuple(unit, index, where), block);
        return block;
    }
    template <class Emit> std::uint32_t newBlock(const Emit& emit) {
        std::vector<Step> around;
        around.swap(m_program.steps);
        emit();
        around.swap(m_program.steps);
        m_program.blocks.push_back(std::move(around));
        return static_cast<std::uint32_t>(m_program.blocks.size() - 1);
    }
    void repeat(std::uint32_t block, std::uint64_t times) { step(RepeatStep{.block = block, .times = times}); }

    void emitPersistent(TensorId id, TensorId staging) {
        step(AcquireStep{id});
        const Tensor& tensor = m_program.tensor(id);
        if (!tensor.constant) {
            step(ClearStep{.tensor = id, .firstRow = 0, .rows = tensor.shape.h});
            return;
        }
        emitUpload({.tensor = id, .staging = staging, .from = std::nullopt, .region = {.again = true}});
    }
    bool hasManyInputs() const { return m_units.size() > 1 || m_units.front().streams.size() > 1; }
    void emitUpload(const UploadStep& upload) {
        if (hasManyInputs()) {
            step(upload);
            return;
        }
        step(AcquireStep{upload.staging});
        step(upload);
        step(EvaluateStep{});
        step(ReleaseStep{upload.staging});
    }
    // The areas of the output that calls from this group on compute.
    void emitAreas(const WorkUnit& unit, std::size_t group) {
        AreaStep areas;
        for (auto entry = std::ranges::lower_bound(unit.areas, group, {}, &WorkUnit::Area::firstGroup);
             entry != unit.areas.end() && entry->firstGroup == group; ++entry)
            areas.areas.push_back(entry->area);
        if (!areas.areas.empty()) step(std::move(areas));
    }
    void emitUnit(const WorkUnit& unit, Where where) {
        emitAreas(unit, 0);
        for (const TileStream& stream : unit.streams) {
            step(AcquireStep{stream.input});
            emitUpload({.tensor = stream.input, .staging = m_staging, .from = std::nullopt, .region = stream.from});
        }
        emitCalls(unit, where.ends);
        if (!unit.areas.empty()) step(AreaStep{});
        // An output that no later unit adds to is downloaded in the write phase, when other models may be gone.
        if (where.last && !(where.ends && m_persistent.empty())) emitOutputs(unit);
        if (!(where.last && where.ends)) releaseOutputs(unit);
    }
    bool isPersistent(TensorId id) const { return std::ranges::find(m_persistent, id) != m_persistent.end(); }
    void emitOutputs(const WorkUnit& unit) {
        if (unit.outputs.empty()) return;
        const TensorId first = unit.outputs.front().tensor;
        if (!m_outStaging.valid())
            m_outStaging = addStaging(m_lowered.addLayer("output"), m_program.tensor(first).bytes);
        step(AcquireStep{m_outStaging});
        for (const OutputRows& output : unit.outputs) {
            step(DownloadStep{.staging = m_outStaging, .output = output});
            if (isPersistent(output.tensor))
                step(ClearStep{.tensor = output.tensor, .firstRow = output.firstRow, .rows = output.rows});
        }
        step(EvaluateStep{});
        step(ReleaseStep{m_outStaging});
    }
    void releaseOutputs(const WorkUnit& unit) {
        for (const OutputRows& output : unit.outputs)
            if (!isPersistent(output.tensor)) step(ReleaseStep{output.tensor});
    }

    void emitWrite() {
        step(PhaseStep{Phase::Write});
        if (m_persistent.empty()) emitOutputs(m_units.back());
        releaseOutputs(m_units.back());
        releaseAll(m_weights);
    }

    // Concurrent groups: call i of each stream; then the calls after the streams, one in each group.
    using Groups = std::vector<std::vector<std::uint32_t>>;
    static Groups groupsOf(const WorkUnit& unit) {
        Groups groups;
        for (const TileStream& stream : unit.streams) {
            groups.resize(std::max(groups.size(), stream.calls.size()));
            for (std::size_t i = 0; i < stream.calls.size(); ++i) groups[i].push_back(stream.calls[i]);
        }
        for (const std::uint32_t call : unit.calls) groups.push_back({call});
        return groups;
    }

    // First and last group that use a tensor.
    struct Use {
        std::uint32_t first = never, last = 0;
    };
    // Call i is in group firstGroup + i.
    void addUses(const std::vector<std::uint32_t>& calls, std::size_t firstGroup) {
        std::vector<std::string_view> layers;
        for (const std::uint32_t call : calls) layers.push_back(m_program.layers[m_program.calls[call].layer.index]);
        const auto group = static_cast<std::uint32_t>(firstGroup);
        for (std::uint32_t i = 0; i < calls.size(); ++i) {
            const KernelCall& kernel = m_program.calls[calls[i]].kernel;
            const auto use = [&](TensorId used, std::uint32_t last) {
                const std::uint32_t index = m_program.storage(used).index;
                Use& known = m_uses[index];
                if (known.first == never) m_used.push_back(index);
                known.first = std::min(known.first, group + i);
                known.last = std::max(known.last, group + last);
            };
            for (const TensorId id : reads(kernel)) {
                const std::uint32_t first = m_uses[m_program.storage(id).index].first;
                const auto maker = first == never || first < group ? std::nullopt : std::optional(first - group);
                use(id, m_controls.holdInputs ? heldUntil(layers, i, maker) : i);
            }
            for (const TensorId id : writes(kernel)) use(id, i);
        }
    }
    // A unit uses few of the program's tensors, so only those are visited.
    void findUses(const WorkUnit& unit, std::size_t groups) {
        for (const std::uint32_t index : m_used) m_uses[index] = {};
        m_used.clear();
        m_uses.resize(m_program.tensors.size());
        for (const TileStream& stream : unit.streams) addUses(stream.calls, 0);
        addUses(unit.calls, groups - unit.calls.size());
        std::ranges::sort(m_used);
    }

    // By group: whether a batch ends after it. The last group always ends one.
    std::vector<bool> batchEnds(const Groups& groups) const {
        std::vector<bool> ends(groups.size(), false);
        const auto group = [&](std::size_t i) -> std::string {
            const Call& call = m_program.calls[groups[i].front()];
            const std::string& layer = m_program.layers[call.layer.index];
            switch (m_controls.evaluateAt()) {
            case EvaluatePolicy::At::Layer: return layer;
            case EvaluatePolicy::At::Block: return std::string(blockOf(layer));
            case EvaluatePolicy::At::Stage: return stageOf(layer, m_program.tensor(output(call.kernel)).shape);
            default: return {};
            }
        };
        const EvaluatePolicy& policy = m_controls.evaluate;
        std::uint64_t ops = 0, bytes = 0;
        std::set<std::uint32_t> read; // by the batch
        for (std::size_t i = 0; i < groups.size(); ++i) {
            ops += groups[i].size();
            for (const std::uint32_t call : groups[i])
                for (const TensorId id : reads(m_program.calls[call].kernel))
                    if (read.insert(id.index).second) bytes += m_program.tensor(id).bytes;
            const bool counted = (policy.ops && ops >= policy.ops) || (policy.bytes && bytes > policy.bytes);
            ends[i] = i + 1 == groups.size() || group(i) != group(i + 1) || counted;
            if (!ends[i]) continue;
            ops = bytes = 0;
            read.clear();
        }
        return ends;
    }

    // A tensor is acquired before the group that uses it first and released after the group that uses it last or,
    // lazily, when the batch with its last use was waited for. No tensor is acquired or released inside a concurrent
    // group.
    void emitCalls(const WorkUnit& unit, bool endsPass) {
        const Groups groups = groupsOf(unit);
        findUses(unit, groups.size());
        const std::vector<bool> ends = batchEnds(groups);
        const auto isInput = [&](TensorId id) {
            return std::ranges::find(unit.streams, id, &TileStream::input) != unit.streams.end();
        };
        const auto isOutput = [&](TensorId id) {
            return std::ranges::find(unit.outputs, id, &OutputRows::tensor) != unit.outputs.end();
        };
        std::vector<std::vector<TensorId>> begins(groups.size()), dying(groups.size());
        for (const std::uint32_t index : m_used) {
            const TensorId id{index};
            const Use& use = m_uses[index];
            if (m_program.tensor(id).category == Category::Weights || isPersistent(id)) continue;
            if (!isInput(id)) begins[use.first].push_back(id);
            if (!isOutput(id)) dying[use.last].push_back(id);
        }
        std::vector<std::vector<TensorId>> batches(1); // what each batch releases
        for (std::size_t i = 0; i < groups.size(); ++i) {
            if (i > 0) emitAreas(unit, i);
            for (const TensorId id : begins[i]) step(AcquireStep{id});
            for (const std::uint32_t call : groups[i])
                step(DispatchStep{.call = call, .concurrentWithNext = call != groups[i].back()});
            if (lazy())
                batches.back().insert(batches.back().end(), dying[i].begin(), dying[i].end());
            else
                releaseAll(dying[i]);
            if (!ends[i]) continue;
            const bool last = i + 1 == groups.size();
            // The next unit's input is uploaded while the device still makes this one.
            if (last && !lazy() && m_controls.evaluateAt() == EvaluatePolicy::At::None && !endsPass) break;
            step(EvaluateStep{.ahead = last ? 0 : m_controls.ahead});
            if (!last && batches.size() > m_controls.ahead) {
                std::vector<TensorId>& retired = batches[batches.size() - 1 - m_controls.ahead];
                releaseAll(retired);
                retired.clear();
            }
            batches.emplace_back();
        }
        for (const std::vector<TensorId>& batch : batches) releaseAll(batch);
    }

    LoweredCalls m_lowered;
    Program& m_program = m_lowered.program;
    const std::vector<WorkUnit>& m_units = m_lowered.units;
    const std::vector<TensorId>&m_persistent = m_lowered.persistent, &m_weights = m_lowered.weights;
    TensorId m_staging, m_outStaging;
    std::vector<Use> m_uses;                                                // of the unit, by tensor
    std::vector<std::uint32_t> m_used;                                      // its tensors, ascending
    std::map<std::tuple<bool, std::size_t, Where>, std::uint32_t> m_blocks; // of units and of sequences
    const Controls& m_controls;
};

} // namespace

Program schedule(LoweredCalls lowered, const Controls& controls) {
    return Schedule(std::move(lowered), controls).run();
}

} // namespace spikescope
