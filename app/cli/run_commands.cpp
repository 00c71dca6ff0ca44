// plan, decode and encode: one path from options to a Recording.

#include "app/cli/commands.h"
#include "app/cli/options.h"
#include "app/cli/progress_bar.h"

#include "core/advise/advice.h"
#include "core/backend/measured_rates.h"
#include "core/backend/run_job.h"
#include "core/base/cache_folder.h"
#include "core/base/text.h"
#include "core/timeline/peak.h"
#include "core/vulkan/vulkan_backend.h"

#include <filesystem>

namespace spikescope::cli {

namespace {

void sayNotes(const Job& job, bool quiet) {
    if (quiet) return;
    for (const std::string& note : job.notes) printError("note: {}\n", note);
}

struct PlanCommand {
    ControlOptions controls;
    OutputOptions output;

    Result<int> run() const {
        TRY(const auto limit, output.limit());
        TRY(Controls chosen, controls.controls());
        CHECK(checkFiles({controls.inputFiles(chosen), output.files()}, output.json));
        TRY(const Job job, makeJob(std::move(chosen), std::monostate{}, {.everyEvent = output.writesFiles()}));
        sayNotes(job, output.quiet || output.json);
        // A device is opened only when one is named: its block sizes then go into the plan.
        HeapTraits traits;
        std::optional<BackendFacts> facts;
        if (!job.controls.device.empty()) {
            TRY(const std::unique_ptr<VulkanBackend> backend,
                VulkanBackend::open({.device = job.controls.device, .cacheFolder = {}}));
            traits = backend->heap().traits();
            facts = backend->facts();
        }
        Recording recording = planJob(job, traits);
        if (facts) {
            recording.device = {
                .name = facts->device.name, .driver = facts->device.driver, .kernels = {}}; // nothing ran
            recording.spaces = std::move(facts->spaces);
        }
        adviseFailure(recording, job.controls, traits);
        CHECK(output.writeFiles(recording));
        output.print(recording);
        if (recording.failure) printError("spikescope-cli: {}\n", recording.failure->message);
        return checkLimit(recording, limit, recording.failure ? 2 : 0);
    }
};

struct RunCommand {
    VaeTask op;
    ControlOptions controls;
    OutputOptions output;
    std::string inputFile, imageFit, imageOut, tensorOut, kernels = "best";
    std::optional<std::uint64_t> seed;
    bool unscaled = false, validate = false, poison = false;
    int pngBits = 8;

    Result<InputChoice> inputChoice() const {
        if (seed && !inputFile.empty()) return fail(ErrorCode::BadUsage, "--latents and --seed exclude each other");
        if (seed) return InputChoice(*seed);
        if (inputFile.empty())
            return fail(ErrorCode::BadUsage, "{}",
                        op == VaeTask::Decode ? "decode needs --latents FILE[:KEY] or --seed N"
                                              : "encode needs --image FILE");
        InputFile file = splitKey(inputFile);
        file.scaled = !unscaled;
        if (!imageFit.empty()) {
            file.fit = valueNamed<ImageFit>(imageFit);
            if (!file.fit)
                return fail(ErrorCode::BadUsage, "fit-image: {} is unknown; allowed: {}", quote(imageFit),
                            fmt::join(enumNames<ImageFit>, ", "));
        }
        return InputChoice(std::move(file));
    }

    Result<std::vector<std::unique_ptr<OutputSink>>> sinks(const Job& job) const {
        std::vector<std::unique_ptr<OutputSink>> all;
        if (!imageOut.empty()) {
            TRY(auto sink, pngSink(imageOut, job.family.backbone, job.outputShape(), pngBits));
            all.push_back(std::move(sink));
        }
        if (!tensorOut.empty()) {
            TRY(auto sink, tensorSink(tensorOut, op, job.family, job.outputShape()));
            all.push_back(std::move(sink));
        }
        return all;
    }

    Result<int> run() const {
        if (kernels != "best" && kernels != "portable")
            return fail(ErrorCode::BadUsage, "kernels: {} is unknown; allowed: best, portable", quote(kernels));
        if (pngBits != 8 && pngBits != 16)
            return fail(ErrorCode::BadUsage, "png-bits: {} is not possible; allowed: 8, 16", pngBits);
        TRY(const auto limit, output.limit());
        TRY(Controls chosen, controls.controls());
        if (chosen.op != op) {
            // A configuration may name the op; the command decides.
            CHECK(setControl(chosen, "op", op == VaeTask::Decode ? "decode" : "encode"));
        }
        TRY(const InputChoice choice, inputChoice());
        CHECK(checkApart(chosen, chosen.batch));
        TRY(const Job job, makeJob(std::move(chosen), choice));
        CHECK(checkApart(job.controls, job.outputShape().n)); // the input may hold several pictures
        sayNotes(job, output.quiet);
        // Outputs are opened before the work, so that a folder that cannot be written costs nothing.
        TRY(const auto outputs, sinks(job));
        for (const OutputOptions::File& file : output.written)
            if (!file.path.empty()) CHECK(checkWritable(file.path));
        TRY(const std::unique_ptr<VulkanBackend> backend,
            VulkanBackend::open({.device = job.controls.device,
                                 .kernels = kernels == "portable" ? KernelChoice::Portable : KernelChoice::Best,
                                 .validate = validate,
                                 .poison = poison}));
        const CancelFlag& cancelled = cancelledBySignal();
        RunOutcome outcome;
        {
            ProgressBar bar(output.quiet);
            outcome = runJob(*backend, job, outputs, cancelled, [&](const Progress& p) { bar.show(p); });
        }
        if (outcome.error) {
            const int code = exitWith(*outcome.error);
            if (code != 1) {
                adviseFailure(outcome.recording, job.controls, backend->heap().traits());
                CHECK(output.writeFiles(outcome.recording));
                output.print(outcome.recording);
            }
            return code;
        }
        const std::string lesson = learnFromRun(*backend, job, outcome.recording, defaultCacheFolder());
        if (!lesson.empty() && !output.quiet) printError("note: {}\n", lesson);
        CHECK(output.writeFiles(outcome.recording));
        // After the files, so that no picture appears when a report could not be written.
        for (const auto& sink : outputs) CHECK(sink->commit());
        output.print(outcome.recording);
        if (backend->validationMessages() > 0) {
            printError("spikescope-cli: the validation layer had {} messages\n", backend->validationMessages());
            return 3;
        }
        return checkLimit(outcome.recording, limit, 0);
    }

private:
    Result<void> checkApart(const Controls& chosen, std::uint64_t pictures) const {
        constexpr auto written = NamedFile::Role::Output;
        std::vector<NamedFile> files{
            {.name = op == VaeTask::Decode ? "--latents" : "--image", .path = splitKey(inputFile).path},
            {.name = "--tensor-out", .path = tensorOut, .role = written}};
        if (!imageOut.empty())
            for (std::uint64_t i = 0; i < pictures; ++i)
                files.push_back({.name = "-o", .path = pngPath(imageOut, i, pictures), .role = written});
        return checkFiles({controls.inputFiles(chosen), files, output.files()}, output.json);
    }
    static Result<void> checkWritable(const std::string& path) {
        TRY(const OutputFile probe, OutputFile::create(path)); // goes again without a trace
        return {};
    }
};

template <class Command> void whenGiven(CLI::App& sub, std::shared_ptr<Command> command, int& result) {
    sub.callback([command, &result] {
        const Result<int> code = command->run();
        result = code ? *code : exitWith(code.error());
    });
}

void addRun(CLI::App& app, int& result, VaeTask op) {
    const bool decode = op == VaeTask::Decode;
    CLI::App* sub = decode ? app.add_subcommand("decode", "Decode latents to a picture and record memory")
                           : app.add_subcommand("encode", "Encode a picture to latents and record memory");
    auto command = std::make_shared<RunCommand>(RunCommand{.op = op});
    if (decode) {
        sub->add_option("--latents", command->inputFile,
                        "latents as the pipeline hands them over, or ComfyUI's: FILE[:KEY] (.safetensors, .latent, "
                        ".npy); packed tokens need --size");
        sub->add_flag("--latents-unscaled", command->unscaled, "the latents are the decoder's input already");
        sub->add_option("--seed", command->seed, "synthetic latents instead");
        sub->add_option("-o,--output", command->imageOut, "write the picture to FILE.png");
        sub->add_option("--png-bits", command->pngBits, "8 or 16 bits a channel");
    } else {
        sub->add_option("--image", command->inputFile,
                        "a PNG, JPEG or WebP, or FILE.safetensors[:KEY] with values as the encoder takes them");
        sub->add_option(
            "--fit-image", command->imageFit,
            "make a picture fit whose size the encoder does not take, or that of --size: crop, pad, resize");
    }
    sub->add_option("--tensor-out", command->tensorOut,
                    decode ? "write the decoded tensor to FILE.safetensors"
                           : "write mean and logvar to FILE.safetensors");
    sub->add_option("--kernels", command->kernels, "best, or portable: the kernels that run everywhere");
    sub->add_flag("--validate", command->validate, "run under Vulkan's validation layer");
    sub->add_flag("--poison", command->poison, "fill memory with NaN before it is used: a check of the engine itself");
    command->controls.addTo(*sub, false);
    command->output.addTo(*sub);
    whenGiven(*sub, command, result);
}

} // namespace

void addPlan(CLI::App& app, int& result) {
    CLI::App* sub = app.add_subcommand("plan", "Say what a run would need, without a device");
    auto command = std::make_shared<PlanCommand>();
    command->controls.addTo(*sub, true);
    command->output.addTo(*sub);
    whenGiven(*sub, command, result);
}

void addDecode(CLI::App& app, int& result) { addRun(app, result, VaeTask::Decode); }
void addEncode(CLI::App& app, int& result) { addRun(app, result, VaeTask::Encode); }

} // namespace spikescope::cli
