// The program as its users meet it: exit codes, one sentence for each bad input, files whole or not at all. Runs the
// built spikescope-cli at the smallest sizes.

#include "core/base/dtype.h"
#include "core/io/picture.h"
#include "core/model/family.h"
#include "core/tensors/safetensors_writer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

extern char** environ;

namespace {

namespace fs = std::filesystem;

struct Outcome {
    int code = -1;
    std::string out, error;
};

std::string slurp(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

class CliTest : public testing::Test {
protected:
    void SetUp() override {
        folder = fs::path(testing::TempDir()) / ("spikescope_cli_" + std::to_string(getpid()));
        fs::create_directories(folder);
    }
    void TearDown() override { fs::remove_all(folder); }

    pid_t start(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), SPIKESCOPE_CLI);
        return spawn(std::move(arguments));
    }
    pid_t spawn(std::vector<std::string> arguments) {
        const std::string program = arguments.front();
        std::vector<char*> argv;
        for (std::string& argument : arguments) argv.push_back(argument.data());
        argv.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        const std::string out = (folder / ".stdout").string(), error = (folder / ".stderr").string();
        posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        posix_spawn_file_actions_addopen(&actions, 2, error.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        pid_t child = -1;
        EXPECT_EQ(posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        return child;
    }
    Outcome finish(pid_t child) {
        int status = 0;
        waitpid(child, &status, 0);
        return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status),
                .out = slurp(folder / ".stdout"),
                .error = slurp(folder / ".stderr")};
    }
    Outcome run(std::vector<std::string> arguments) { return finish(start(std::move(arguments))); }

    // A line of the shell, in which "$0" is the program, in the test's folder.
    Outcome shell(const std::string& line) {
        return finish(spawn({"/bin/sh", "-c", "cd '" + folder.string() + "'; " + line, SPIKESCOPE_CLI}));
    }

    std::string file(const std::string& name) const { return (folder / name).string(); }
    std::string write(const std::string& name, const std::string& content) const {
        std::ofstream(file(name), std::ios::binary) << content;
        return file(name);
    }
    // A safetensors file of one header and as many data bytes.
    std::string safetensors(const std::string& name, const nlohmann::ordered_json& header,
                            const std::string& data) const {
        std::string text = header.dump();
        text.resize((text.size() + 7) / 8 * 8, ' ');
        std::string length(8, '\0');
        for (int i = 0; i < 8; ++i)
            length[static_cast<std::size_t>(i)] = static_cast<char>(text.size() >> (8 * i) & 0xff);
        return write(name, length + text + data);
    }
    // A whole checkpoint of taesd, whose parameters are 0.
    std::string checkpoint(const std::string& name) const {
        using namespace spikescope;
        std::vector<SafetensorsWriter::Tensor> tensors;
        for (const VaeTask op : {VaeTask::Decode, VaeTask::Encode}) {
            const auto graph = buildGraph(*findFamily("taesd"), op, 8, 8, 1);
            for (const Weight& weight : graph->weights)
                tensors.push_back({.name = weight.name, .dtype = DType::F16, .shape = weight.dims});
        }
        auto writer = SafetensorsWriter::create(file(name), tensors);
        EXPECT_TRUE(writer) << writer.error().message;
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            std::size_t bytes = 2;
            for (const std::uint64_t side : tensors[i].shape) bytes *= side;
            EXPECT_TRUE(writer->write(i, 0, std::vector<std::byte>(bytes)));
        }
        EXPECT_TRUE(writer->commit());
        return file(name);
    }
    std::vector<std::string> visibleFiles() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(folder))
            if (const std::string name = entry.path().filename().string(); name != ".stdout" && name != ".stderr")
                names.push_back(name);
        std::ranges::sort(names);
        return names;
    }
    // Exit 1, one line on standard error that holds all of `parts`, nothing on standard output and no file that was not
    // there.
    void expectRefusal(std::vector<std::string> arguments, const std::vector<std::string>& parts) {
        const auto before = visibleFiles();
        const Outcome outcome = run(arguments);
        std::string command;
        for (const std::string& argument : arguments) command += argument + " ";
        EXPECT_EQ(outcome.code, 1) << command << outcome.error;
        EXPECT_EQ(std::ranges::count(outcome.error, '\n'), 1) << command << outcome.error;
        EXPECT_EQ(outcome.out, "") << command;
        for (const std::string& part : parts)
            EXPECT_NE(outcome.error.find(part), std::string::npos)
                << command << ": no " << part << " in " << outcome.error;
        EXPECT_EQ(visibleFiles(), before) << command;
    }
    std::vector<std::string> decode(std::vector<std::string> more) const {
        std::vector<std::string> all{"decode",   "--device",     "cpu",          "--size",
                                     "32x32",    "--quiet",      "-o",           file("x.png"),
                                     "--report", file("r.json"), "--tensor-out", file("t.safetensors")};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }

    fs::path folder;
};

TEST_F(CliTest, refusesBadCheckpoints) {
    const nlohmann::ordered_json clip{
        {"text_model.encoder.layers.0.mlp.fc1.weight", {{"dtype", "F32"}, {"shape", {2}}, {"data_offsets", {0, 8}}}}};
    const nlohmann::ordered_json partial{
        {"decoder.conv_in.weight", {{"dtype", "F32"}, {"shape", {512, 16, 3, 3}}, {"data_offsets", {0, 294912}}}}};
    nlohmann::ordered_json wrong{
        {"decoder.layers.0.weight", {{"dtype", "F16"}, {"shape", {64, 4, 3, 3}}, {"data_offsets", {0, 4608}}}}};
    struct Case {
        std::string path;
        std::vector<std::string> parts;
    };
    const Case cases[] = {
        {write("short.safetensors", "abc"), {"short.safetensors", "3"}},
        {write("long.safetensors", std::string("\xff\xff\xff\xff\x00\x00\x00\x00{}", 10)),
         {"long.safetensors", "begins with the bytes ff ff ff ff"}},
        {write("text.safetensors", std::string("\x08\x00\x00\x00\x00\x00\x00\x00{nojson}", 16)),
         {"text.safetensors", "JSON"}},
        {safetensors("cut.safetensors", clip, "1234"),
         {"cut.safetensors", "text_model.encoder.layers.0.mlp.fc1.weight", "8", "4"}},
        {safetensors("clip.safetensors", clip, "12345678"), {"clip.safetensors", "CLIP"}},
        {safetensors("partial.safetensors", partial, std::string(294912, '\0')),
         {"partial.safetensors", "incomplete", "decoder.conv_in.weight", "mid_block.resnets.0.conv1.weight"}},
        {safetensors("tiny.safetensors", wrong, std::string(4608, '\0')),
         {"tiny.safetensors", "are missing", "decoder.layers.0.bias"}},
        {file("absent.safetensors"), {"absent.safetensors", "No such file"}},
    };
    for (const Case& c : cases) expectRefusal(decode({"--weights", c.path, "--seed", "1"}), c.parts);
}

TEST_F(CliTest, refusesBadLatents) {
    const auto latents = [&](const std::string& name, nlohmann::ordered_json shape, const std::string& dtype,
                             const std::string& data) {
        return safetensors(name, {{"z", {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {0, data.size()}}}}},
                           data);
    };
    std::string nan(256, '\0');
    nan[4 * 21 + 3] = '\x7f'; // element 21 of [4, 4, 4] is [1, 1, 1]
    nan[4 * 21 + 2] = '\xc0';
    struct Case {
        std::string path;
        std::vector<std::string> parts;
    };
    const Case cases[] = {
        {latents("channels.safetensors", {16, 2, 2}, "F32", std::string(256, '\0')),
         {"channels.safetensors", "'z'", "16", "4"}},
        {latents("rank.safetensors", {8, 8}, "F32", std::string(256, '\0')),
         {"rank.safetensors", "'z'", "2 dimensions"}},
        {latents("dtype.safetensors", {4, 4, 4}, "I32", std::string(256, '\0')), {"dtype.safetensors", "'z'", "I32"}},
        {latents("nan.safetensors", {4, 4, 4}, "F32", nan), {"nan.safetensors", "'z'", "1, 1, 1"}},
        {latents("key.safetensors", {4, 4, 4}, "F32", std::string(256, '\0')) + ":other", {"key.safetensors", "other"}},
    };
    for (const Case& c : cases) expectRefusal(decode({"--model", "taesd", "--latents", c.path}), c.parts);
    expectRefusal(decode({"--model", "taesd"}), {"--latents", "--seed"});
}

// What was decided is said; what is missing is asked for by name.
TEST_F(CliTest, latentsAndPicturesAreFittedWithANote) {
    const std::string tokens = safetensors(
        "tokens.safetensors", {{"latents", {{"dtype", "F32"}, {"shape", {1, 6, 64}}, {"data_offsets", {0, 1536}}}}},
        std::string(1536, '\0'));
    const std::string out = file("t.safetensors");
    const std::vector<std::string> decodeTokens{"decode",    "--device", "cpu",          "--model", "taef1",
                                                "--latents", tokens,     "--tensor-out", out};
    const auto with = [](std::vector<std::string> arguments, const std::vector<std::string>& more) {
        arguments.insert(arguments.end(), more.begin(), more.end());
        return arguments;
    };
    expectRefusal(decodeTokens, {"tokens.safetensors", "[1, 6, 64]", "6 packed tokens", "--size", "32x48, 48x32"});
    expectRefusal(with(decodeTokens, {"--size", "32x32"}), {"32x32", "6 packed tokens", "32x48, 48x32"});
    const Outcome unpacked = run(with(decodeTokens, {"--size", "48x32"}));
    EXPECT_EQ(unpacked.code, 0) << unpacked.error;
    EXPECT_NE(slurp(out).find("[1,3,32,48]"), std::string::npos);

    auto png = spikescope::PngWriter::create(file("odd.png"), 29, 18, 8);
    ASSERT_TRUE(png && png->writeRows(std::vector<float>(29 * 18 * 3, 0.5f)) && png->commit());
    const std::vector<std::string> encode{"encode",  "--device",      "cpu",          "--model", "taesd",
                                          "--image", file("odd.png"), "--tensor-out", out};
    fs::remove(out);
    expectRefusal(encode, {"odd.png", "29x18", "multiples of 8", "--fit-image", "24x16", "32x24", "32x16"});
    expectRefusal(with(encode, {"--fit-image", "stretch"}), {"fit-image", "'stretch'", "crop, pad, resize"});
    expectRefusal(with(encode, {"--size", "64x64"}), {"size 64x64", "odd.png", "29x18", "--fit-image"});
    expectRefusal(with(encode, {"--size", "64x64", "--fit-image", "crop"}), {"fit-image crop", "odd.png", "64x64"});
    expectRefusal({"encode", "--model", "taesd", "--image", tokens, "--fit-image", "pad"}, {"fit-image", "tokens"});
    expectRefusal({"encode", "--model", "taesd", "--image", file("odd.png") + ":x"}, {"odd.png", "'x'"});
    expectRefusal({"encode", "--model", "taesd", "--image", write("a.gif", "GIF89a, or nearly")},
                  {"a.gif", "GIF", "JPEG"});
    const Outcome fitted = run(with(encode, {"--fit-image", "pad"}));
    EXPECT_EQ(fitted.code, 0) << fitted.error;
    EXPECT_NE(fitted.error.find("note: the picture '" + file("odd.png") +
                                "' was padded on the right and below with its edge from 29x18 to 32x24\n"),
              std::string::npos)
        << fitted.error;
    EXPECT_NE(slurp(out).find("[1,4,3,4]"), std::string::npos);
}

TEST_F(CliTest, refusesBadControls) {
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"--model", "taesd", "--seed", "1"});
        return decode(more);
    };
    expectRefusal({"decode", "--model", "taesd", "--seed", "1", "--size", "0x8", "-o", file("x.png")}, {"size", "0x8"});
    expectRefusal({"decode", "--model", "taesd", "--seed", "1", "--size", "36x32", "-o", file("x.png")},
                  {"size", "36x32", "multiples of 8"});
    expectRefusal(
        {"decode", "--model", "taesd", "--seed", "1", "--size", "18446744073709551616x8", "-o", file("x.png")},
        {"size", "18446744073709551616x8"});
    expectRefusal(with({"--conv", "fft"}), {"conv", "fft", "direct, im2col"});
    expectRefusal(with({"--preset", "mlx"}), {"preset", "mlx-before", "leanest"});
    expectRefusal(with({"--upsample", "folded", "--conv", "im2col"}), {"upsample folded", "conv im2col", "nearest"});
    expectRefusal(with({"--enforce"}), {"enforce", "budget"});
    expectRefusal(with({"--resident", "text=nan"}), {"resident text", "nan"});
    expectRefusal(with({"--activations", "fp8"}), {"activations", "fp8", "bf16, fp16, fp32"});
    expectRefusal(with({"--lifetime", "stream", "--allocator", "arena"}),
                  {"allocator arena", "lifetime planned", "stream"});
    expectRefusal(with({"--colour", "red"}), {"--colour", "--lifetime"});
    expectRefusal(with({"--fail-over", "nan"}), {"fail-over", "nan"});
    expectRefusal(with({"--batch", "-3"}), {"batch", "-3"});
    expectRefusal({"decode", "--model", "nothing", "--seed", "1"}, {"model", "nothing", "flux1, sd15"});
    expectRefusal({"paint"}, {"subcommand"});
    expectRefusal({"plan", "--config", write("c.json", "{\"precision\": \"fp32\"}")}, {"precision", "activations"});
    expectRefusal({"plan", "--config", write("d.json", "[1, 2")}, {"d.json", "JSON"});
    expectRefusal({"plan", "--config", write("e.json", "{\"preset\": \"mlx-after\", \"ahead\": -1}")}, {"ahead", "-1"});
    expectRefusal({"plan", "--config", write("f.json", "{\"budget\": 1e999}")}, {"f.json", "budget"});
    expectRefusal({"plan", "--config", write("g.json", "{\"budget\": NaN}")}, {"g.json", "budget"});
    expectRefusal({"plan", "--config", write("h.json", "{\"batch\": 1e300}")}, {"batch", "1e+300"});
    expectRefusal({"plan", "--config", folder.string()}, {folder.string(), "cannot be read"});
    expectRefusal({"plan", "--config", write("i.json", "{\"evaluate\": [1]}")}, {"i.json", "evaluate"});
}

TEST_F(CliTest, refusesOutputsThatCannotBeWritten) {
    const std::vector<std::string> base{"decode", "--device", "cpu",    "--model", "taesd",
                                        "--seed", "1",        "--size", "32x32",   "--quiet"};
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), base.begin(), base.end());
        return more;
    };
    expectRefusal(with({"-o", file("no/folder/x.png")}), {"no/folder/x.png", "No such file"});
    expectRefusal(with({"-o", "/dev/full"}), {"/dev/full", "No space"});
    expectRefusal(with({"--tensor-out", "/dev/full"}), {"/dev/full", "No space"});
    expectRefusal(with({"--report", "/dev/full", "-o", file("x.png")}), {"/dev/full", "No space"});
    expectRefusal(with({"--csv", file("no/e.csv"), "-o", file("x.png")}), {"no/e.csv"});
}

// An output must never replace an input or another output, whatever the command and however the names are spelled.
TEST_F(CliTest, outputsNeverReplaceInputsOrEachOther) {
    const nlohmann::ordered_json one{{"z", {{"dtype", "F32"}, {"shape", {4, 4, 4}}, {"data_offsets", {0, 256}}}}};
    const std::string in = checkpoint("in.safetensors"),
                      latents = safetensors("z.safetensors", one, std::string(256, '\0')),
                      pickle = write("in.pickle", "x"), config = write("c.json", "{\"weights\": \"in.safetensors\"}");
    auto png = spikescope::PngWriter::create(file("in.png"), 8, 8, 8);
    ASSERT_TRUE(png && png->writeRows(std::vector<float>(8 * 8 * 3, 0.5f)) && png->commit());
    fs::create_hard_link(in, file("hard"));
    fs::create_symlink("in.safetensors", file("soft"));
    fs::create_symlink("new", file("dangling"));
    const std::string before = slurp(in);
    const auto when = fs::last_write_time(in);
    const std::vector<std::string> taesd{"--model", "taesd", "--size", "32x32"};
    const auto refused = [&](std::vector<std::string> arguments, const std::vector<std::string>& more,
                             const std::vector<std::string>& parts) {
        arguments.insert(arguments.end(), more.begin(), more.end());
        expectRefusal(std::move(arguments), parts);
        EXPECT_EQ(slurp(in), before);
        EXPECT_EQ(fs::last_write_time(in), when);
    };
    for (const std::string name : {"in.safetensors", "./in.safetensors", "hard", "soft"})
        for (const std::string output : {"--report", "--csv", "--layers"}) {
            refused({"plan", output, file(name)}, {"--weights", in}, {output, "--weights", file(name)});
            refused({"decode", "--seed", "1", output, file(name)}, {"--weights", in}, {output, "--weights"});
        }
    refused({"decode", "--seed", "1", "--tensor-out", file("soft")}, {"--weights", in}, {"--tensor-out", "--weights"});
    refused({"decode", "--latents", latents + ":z", "-o", latents}, taesd, {"-o", "--latents"});
    refused({"encode", "--image", file("in.png"), "--tensor-out", file("in.png")}, taesd, {"--tensor-out", "--image"});
    refused({"decode", "--seed", "1", "-o", file("new"), "--tensor-out", file("dangling")}, taesd,
            {"-o", "--tensor-out"});
    refused({"decode", "--seed", "1", "--batch", "2", "-o", file("x.png"), "--report", file("x-1.png")}, taesd,
            {"-o", "--report", "x-1.png"});
    refused({"plan", "--csv", file("new"), "--layers", file("dangling")}, taesd, {"--csv", "--layers"});
    refused({"plan", "--config", config, "--report", config}, {}, {"--config", "--report"});
    refused({"fit", "--budget", "1", "--config", config, "--write", config}, {}, {"--config", "--write"});
    refused({"fit", "--budget", "1", "--weights", in, "--write", in}, {}, {"--weights", "--write"});
    refused({"replay", pickle, "--report", pickle}, {}, {"snapshot", "--report"});
    refused({"compare-images", file("in.png"), file("in.png"), "--heatmap", file("in.png")}, {}, {"--heatmap", "a '"});
    // What a configuration names counts as well, from the folder the program runs in.
    const fs::path here = fs::current_path();
    fs::current_path(folder);
    refused({"plan", "--config", config, "--layers", in}, {}, {"--layers", "--weights"});
    fs::current_path(here);
    // Standard output is an output, and with --json it takes nothing else.
    refused({"plan", "--report", "/dev/stdout"}, taesd, {"--report", "standard output"});
    refused({"plan", "--report", file(".stdout")}, taesd, {"--report", "standard output"});
    EXPECT_EQ(run({"plan", "--model", "taesd", "--report", "/dev/null", "--csv", "/dev/null"}).code, 0);
}

TEST_F(CliTest, outOfMemoryIsExitTwoWithTheReport) {
    for (const std::string command : {"decode", "plan"}) {
        std::vector<std::string> arguments{command,       "--device", "cpu",
                                           "--model",     "flux1",    "--size",
                                           "16384x16384", "--report", file(command + ".json")};
        if (command == "decode") arguments.insert(arguments.end(), {"--seed", "1", "-o", file("x.png"), "--quiet"});
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.code, 2) << outcome.error;
        const auto report = nlohmann::json::parse(slurp(file(command + ".json")));
        EXPECT_EQ(report["failure"]["code"], "out_of_device_memory");
        EXPECT_FALSE(report["failure"]["layer"].get<std::string>().empty());
        EXPECT_GT(report["failure"]["bytes_wanted"].get<std::uint64_t>(), 0u);
        EXPECT_FALSE(fs::exists(file("x.png")));
    }
}

TEST_F(CliTest, anEnforcedBudgetEndsCleanlyAndSaysWhatFits) {
    for (const std::string command : {"plan", "decode"}) {
        std::vector<std::string> arguments{
            command,   "--device",  "cpu",         "--model",    "taesd",    "--size",
            "256x256", "--conv",    "im2col",      "--lifetime", "stream",   "--budget",
            "0.03",    "--enforce", "--allocator", "direct",     "--report", file(command + ".json")};
        if (command == "decode") arguments.insert(arguments.end(), {"--seed", "1", "-o", file("x.png"), "--quiet"});
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.code, 2) << outcome.error;
        EXPECT_NE(outcome.out.find("fits with"), std::string::npos);
        EXPECT_FALSE(fs::exists(file("x.png")));
    }
    const auto plan = nlohmann::json::parse(slurp(file("plan.json"))),
               decode = nlohmann::json::parse(slurp(file("decode.json")));
    EXPECT_EQ(plan["failure"], decode["failure"]);
    EXPECT_TRUE(plan["failure"]["tensor"].get<std::string>().ends_with(".columns"));
    const auto fits = plan["failure"]["fits"].get<std::vector<std::string>>();
    EXPECT_NE(std::find(fits.begin(), fits.end(), "conv direct"), fits.end());
    EXPECT_LE(plan["peak"]["reserved_bytes"].get<std::uint64_t>(), std::uint64_t{32212254});
}

TEST_F(CliTest, presetsAndConfigurationsSetControls) {
    const auto controlsOf = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"plan", "--model", "taesd", "--size", "64x64", "--json"});
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.code, 0) << outcome.error;
        return nlohmann::json::parse(outcome.out)["controls"];
    };
    const std::string config = write("c.json", "{\"conv\": \"winograd\", \"preset\": \"mlx-before\", \"ahead\": 2}");
    EXPECT_EQ(controlsOf({"--preset", "mlx-before"})["conv"], "im2col");
    EXPECT_EQ(controlsOf({"--config", config})["conv"], "winograd"); // over the preset in the same file
    EXPECT_EQ(controlsOf({"--config", config})["ahead"], "2");
    EXPECT_EQ(controlsOf({"--config", config})["lifetime"], "lazy");
    EXPECT_EQ(controlsOf({"--config", config, "--conv", "direct"})["conv"], "direct");
    EXPECT_EQ(controlsOf({"--preset", "leanest", "--config", config})["upsample"], "broadcast");
}

TEST_F(CliTest, adviceIsSortedAndFlipsAreSingle) {
    const Outcome outcome = run({"advise", "--device", "cpu", "--model", "taesd", "--size", "256x256", "--conv",
                                 "im2col", "--lifetime", "stream", "--json", "--quiet"});
    ASSERT_EQ(outcome.code, 0) << outcome.error;
    const auto advice = nlohmann::json::parse(outcome.out);
    std::uint64_t last = 0;
    bool direct = false;
    for (const auto& flip : advice["flips"]) {
        EXPECT_GE(flip["allocated_bytes"].get<std::uint64_t>(), last);
        last = flip["allocated_bytes"];
        EXPECT_NE(flip["from"], flip["to"]);
        EXPECT_NE(flip["to"], "arena"); // contradicts lifetime stream
        EXPECT_GT(flip["estimated_ms"].get<double>(), 0.0) << flip;
        if (flip["control"] == "conv" && flip["to"] == "direct") {
            direct = true;
            EXPECT_LT(flip["allocated_bytes"].get<std::uint64_t>(), advice["allocated_bytes"].get<std::uint64_t>());
        }
    }
    EXPECT_TRUE(direct);
}

TEST_F(CliTest, fitChoosesWhatFits) {
    const std::vector<std::string> base{"fit", "--model", "taesd", "--size", "256x256", "--preset", "mlx-before"};
    const auto with = [&](std::vector<std::string> more) {
        more.insert(more.begin(), base.begin(), base.end());
        return more;
    };
    const Outcome outcome = run(with({"--budget", "0.025", "--json", "--write", file("c.json")}));
    ASSERT_EQ(outcome.code, 0) << outcome.error;
    const auto fit = nlohmann::json::parse(outcome.out);
    EXPECT_EQ(fit["schema"], "spikescope.fit/1");
    EXPECT_EQ(fit["times"], "counted work"); // a budget of some other device than the machine's CPU
    EXPECT_FALSE(fit["asked"]["fits"]);
    EXPECT_LE(fit["chosen"]["reserved_bytes"].get<std::uint64_t>(), fit["budget_bytes"].get<std::uint64_t>());
    ASSERT_FALSE(fit["steps"].empty());
    EXPECT_EQ(fit["steps"].back()["reserved_bytes"], fit["chosen"]["reserved_bytes"]);
    // The configuration that was written is the one that was chosen.
    const Outcome planned = run({"plan", "--config", file("c.json"), "--budget", "0.025", "--enforce", "--json"});
    EXPECT_EQ(planned.code, 0) << planned.error;
    EXPECT_EQ(nlohmann::json::parse(planned.out)["peak"]["reserved_bytes"], fit["chosen"]["reserved_bytes"]);

    const Outcome kept = run(with({"--budget", "0.01", "--conv", "im2col"}));
    EXPECT_EQ(kept.code, 0) << kept.error;
    EXPECT_NE(kept.out.find("nothing fits with conv as given"), std::string::npos) << kept.out;
    EXPECT_NE(kept.out.find("spikescope-cli decode --model taesd --size 256x256"), std::string::npos) << kept.out;

    const auto refusedWith = [&](std::vector<std::string> more, const std::string& part) {
        const Outcome refused = run(with(std::move(more)));
        EXPECT_EQ(refused.code, 2);
        EXPECT_EQ(std::ranges::count(refused.error, '\n'), 1) << refused.error;
        EXPECT_NE(refused.error.find(part), std::string::npos) << refused.error;
        EXPECT_FALSE(fs::exists(file("d.json")));
    };
    refusedWith({"--budget", "0.005", "--write", file("d.json")}, "nothing fits; the least that was found reserves");
    refusedWith({"--budget", "0.001", "--write", file("d.json")}, "the weights alone are");
    expectRefusal(with({"--budget", "1", "--allow", "colours"}), {"allow", "colours", "approximate, dtype"});
    expectRefusal(with({"--budget", "none"}), {"budget", "none"});
    expectRefusal(with({"--budget", "1", "--write", "/dev/full"}), {"/dev/full"});
}

TEST_F(CliTest, tunedTilesAreKeptAndDamagedOnesIgnored) {
    const char* before = std::getenv("XDG_CACHE_HOME");
    const std::string kept = before ? before : "";
    setenv("XDG_CACHE_HOME", file("cache").c_str(), 1);
    const std::vector<std::string> tune{"tune", "--device", "cpu", "--model", "taesd", "--size", "32x32"};
    const auto table = [&]() -> std::string {
        for (const auto& entry : fs::directory_iterator(folder / "cache" / "spikescope"))
            if (entry.path().filename().string().starts_with("tiles-")) return entry.path().string();
        return {};
    };
    const Outcome outcome = run(tune);
    EXPECT_EQ(outcome.code, 0) << outcome.error;
    EXPECT_NE(outcome.out, ""); // a line a shape, or that there is nothing to choose
    ASSERT_NE(table(), "");
    const std::string whole = slurp(table());
    EXPECT_EQ(nlohmann::json::parse(whole)["schema"], "spikescope.tiles/1");
    std::ofstream(table(), std::ios::trunc) << "{\"schema\":";
    EXPECT_EQ(run(decode({"--model", "taesd", "--seed", "1"})).code, 0);
    EXPECT_EQ(run(tune).code, 0);
    EXPECT_EQ(slurp(table()), whole);
    expectRefusal({"tune", "--model", "nothing"}, {"model", "nothing"});
    // Rates stand beside them. Damaged ones are none at all.
    const std::string tiles = fs::path(table()).filename().string();
    const std::string rates = (folder / "cache" / "spikescope" / ("rates-" + tiles.substr(6))).string();
    const auto fits = [&] { return run({"fit", "--device", "cpu", "--model", "taesd", "--size", "32x32"}); };
    const std::string sound =
        R"({"schema":"spikescope.rates/2","other_ns":{"between_ops":0,"op":0,"wait":0,"reserve":0,"reserved_byte":0,)"
        R"("return":0,"returned_byte":0,"upload":0,"uploaded_byte":0,"download":0,"downloaded_byte":0},"calls":[)";
    for (const std::string& text :
         {std::string(R"({"rates":[],"schema":5})"), std::string(R"({"schema":null})"), std::string("[]"),
          std::string(), std::string("{\"schema\":"), sound + R"({"kind":"copy","work_ns":[[1,1e308]]}]})",
          sound + R"({"kind":"copy","work_ns":[[1,1e999]]}]})", sound + R"({"kind":"copy","work_ns":[[1,-1]]}]})",
          sound + R"({"kind":"copy","work_ns":[[0,1]]}]})", sound + R"({"kind":"copy","work_ns":[[1,1]]}]})"}) {
        std::ofstream(rates, std::ios::trunc) << text;
        const Outcome fitted = fits();
        EXPECT_EQ(fitted.code, 0) << text << fitted.error;
        EXPECT_EQ(fitted.out.find("nan"), std::string::npos) << text;
        EXPECT_EQ(fitted.out.find("inf"), std::string::npos) << text;
    }
    fs::remove(rates);
    fs::create_directory(rates);
    EXPECT_EQ(fits().code, 0);
    before ? setenv("XDG_CACHE_HOME", kept.c_str(), 1) : unsetenv("XDG_CACHE_HOME");
}

TEST_F(CliTest, otherExitCodes) {
    EXPECT_EQ(run({"decode", "--model", "taesd", "--seed", "1", "--device", "no such device"}).code, 3);
    EXPECT_EQ(run({"plan", "--model", "taesd", "--fail-over", "0.0001"}).code, 4);
    EXPECT_EQ(run({"plan", "--model", "taesd", "--fail-over", "100"}).code, 0);
    EXPECT_EQ(run({"--help"}).code, 0);
    EXPECT_EQ(run({"--version"}).code, 0);
    EXPECT_EQ(run({"devices"}).code, 0);
}

// Of a stream that is full or closed: standard output's is the program's failure, standard error's is nobody's.
TEST_F(CliTest, streamsThatTakeNothing) {
    ASSERT_EQ(run({"plan", "--model", "taesd", "--report", file("r.json")}).code, 0);
    const std::string plan = "plan --model taesd --size 64x64", quick = plan + " --fail-over 0.001";
    for (const std::string& command :
         {std::string("--help"), std::string("--version"), std::string("fit --help"), std::string("devices"),
          std::string("devices --json"), plan, plan + " --json", quick, std::string("compare r.json r.json --json"),
          std::string("fit --model taesd --size 64x64 --budget 1")})
        for (const char* stream : {">/dev/full", ">&-", "<&- >&-"}) {
            const Outcome outcome = shell("\"$0\" " + command + " " + stream);
            EXPECT_EQ(outcome.code, 1) << command << stream << outcome.error;
            EXPECT_NE(outcome.error.find("cannot write to standard output"), std::string::npos)
                << command << stream << outcome.error;
        }
    EXPECT_EQ(std::ranges::count(shell("\"$0\" " + plan + " >/dev/full").error, '\n'), 1);
    for (const char* stream : {" 2>/dev/full", " 2>&-", " <&- 2>&-"}) {
        EXPECT_EQ(shell("\"$0\" decode --seed 1 --model taesd --size 32x32 --device cpu" + std::string(stream)).code, 0)
            << stream;
        EXPECT_EQ(shell("\"$0\" plan --model nothing" + std::string(stream)).code, 1) << stream;
        EXPECT_EQ(shell("\"$0\" " + quick + stream).code, 4) << stream;
    }
    EXPECT_EQ(shell("\"$0\" " + plan + " >/dev/full 2>/dev/full").code, 1);
    // A file must not get the number of a closed stream, and with it what is printed there.
    EXPECT_EQ(shell("\"$0\" " + plan + " --report a.json <&- >&- 2>&-").code, 1);
    EXPECT_TRUE(nlohmann::json::accept(slurp(file("a.json"))));
    // A reader that has had enough, as head has, costs no message.
    const Outcome head = shell("{ sleep 0.2; \"$0\" " + plan + "; echo code $? >&2; } | true");
    EXPECT_EQ(head.error, "code 1\n");
    EXPECT_EQ(shell("{ sleep 0.2; \"$0\" " + quick + "; echo code $? >&1; } 2>&1 >codes | true").code, 0);
    EXPECT_TRUE(slurp(file("codes")).ends_with("code 4\n")) << slurp(file("codes"));
}

// Memory that ends is said, whatever was under way.
TEST_F(CliTest, outOfHostMemoryIsExitTwo) {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "the sanitizer reserves more addresses than the limit below";
#endif
    // Every event of 821,000 ops takes more than a gigabyte.
    const Outcome outcome = shell("ulimit -v 300000; \"$0\" plan --model taesd --size 16384x16384 --tile 128 "
                                  "--overlap 16 --report r.json");
    EXPECT_EQ(outcome.code, 2) << outcome.error;
    EXPECT_EQ(std::ranges::count(outcome.error, '\n'), 1) << outcome.error;
    EXPECT_NE(outcome.error.find("out of host memory"), std::string::npos) << outcome.error;
    EXPECT_TRUE(visibleFiles().empty());
}

// JSON is UTF-8, names of files are any bytes.
TEST_F(CliTest, namesThatAreNoUtf8) {
    const std::string in = checkpoint("\xff.safetensors");
    const Outcome inspected = run({"inspect", in, "--json"});
    EXPECT_EQ(inspected.code, 0) << inspected.error;
    EXPECT_TRUE(nlohmann::json::accept(inspected.out));
    const std::vector<std::string> fit{"fit", "--size", "64x64", "--budget", "1", "--weights", in};
    const auto with = [&](const std::vector<std::string>& more) {
        std::vector<std::string> all = fit;
        all.insert(all.end(), more.begin(), more.end());
        return all;
    };
    const Outcome fitted = run(with({"--json"}));
    EXPECT_EQ(fitted.code, 0) << fitted.error;
    EXPECT_TRUE(nlohmann::json::accept(fitted.out));
    expectRefusal(with({"--write", file("c.json")}), {"--write", "UTF-8"});
}

TEST_F(CliTest, summaryHasTheContractsFields) {
    const Outcome outcome = run({"decode",        "--device",    "cpu",         "--model",      "taesd",
                                 "--seed",        "1",           "--size",      "32x32",        "--json",
                                 "--quiet",       "-o",          file("x.png"), "--tensor-out", file("t.safetensors"),
                                 "--csv",         file("e.csv"), "--layers",    file("l.csv"),  "--report",
                                 file("run.json")});
    ASSERT_EQ(outcome.code, 0) << outcome.error;
    EXPECT_EQ(outcome.error, "");
    const auto json = nlohmann::json::parse(outcome.out);
    EXPECT_EQ(json["schema"], "spikescope.run/2");
    EXPECT_EQ(json["kind"], "run");
    for (const char* key :
         {"device", "controls", "peak", "predicted", "host_peak_bytes", "duration_ms", "load_ms", "layers", "failure"})
        EXPECT_TRUE(json.contains(key)) << key;
    EXPECT_TRUE(json["failure"].is_null());
    EXPECT_EQ(json["controls"]["model"], "taesd");
    EXPECT_EQ(json["peak"]["allocated_bytes"], json["predicted"]["allocated_bytes"]);
    EXPECT_EQ(json["peak"]["reserved_bytes"], json["predicted"]["reserved_bytes"]);
    std::uint64_t sum = 0;
    for (const auto& [category, bytes] : json["peak"]["by_category"].items()) sum += bytes.get<std::uint64_t>();
    EXPECT_EQ(sum, json["peak"]["allocated_bytes"].get<std::uint64_t>());
    EXPECT_EQ(visibleFiles(), (std::vector<std::string>{"e.csv", "l.csv", "run.json", "t.safetensors", "x.png"}));
    EXPECT_TRUE(slurp(file("e.csv"))
                    .starts_with("t_ns,event,tensor,layer,phase,category,address,size_bytes,allocated_bytes,reserved_"
                                 "bytes,workspace_bytes"));

    const Outcome planned =
        run({"plan", "--model", "taesd", "--size", "32x32", "--json", "--report", file("plan.json")});
    const auto plan = nlohmann::json::parse(planned.out);
    EXPECT_EQ(plan["peak"]["by_category"], json["peak"]["by_category"]);
    EXPECT_EQ(plan["peak"]["allocated_bytes"], json["peak"]["allocated_bytes"]);
    EXPECT_EQ(plan["peak"]["reserved_bytes"], json["peak"]["reserved_bytes"]);
    const Outcome compared = run({"compare", file("plan.json"), file("run.json")});
    EXPECT_EQ(compared.code, 0) << compared.error;
    EXPECT_NE(compared.out.find("allocated"), std::string::npos);
    expectRefusal({"compare", file("plan.json"), file("x.png")}, {"x.png"});
}

TEST_F(CliTest, exportsRecordings) {
    ASSERT_EQ(run({"plan", "--model", "taesd", "--size", "32x32", "--quiet", "--report", file("r.json"), "--csv",
                   file("e.csv"), "--layers", file("l.csv")})
                  .code,
              0);
    const auto exported = [&](const std::string& name, std::vector<std::string> more) {
        std::vector<std::string> arguments{"export", file("r.json"), "-o", file(name)};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.code, 0) << outcome.error;
        EXPECT_EQ(outcome.out + outcome.error, "") << name;
        return slurp(file(name));
    };
    EXPECT_EQ(exported("again.json", {"--format", "report"}), slurp(file("r.json")));
    EXPECT_EQ(exported("again.csv", {"--format", "events"}), slurp(file("e.csv")));
    EXPECT_EQ(exported("no suffix", {"--format", "layers"}), slurp(file("l.csv")));
    const auto summary = nlohmann::json::parse(exported("s.json", {"--format", "summary"}));
    EXPECT_EQ(summary["spaces"].size(), 2u);

    // Files of the first schema become those of today's, with the same events.
    const std::string old = SPIKESCOPE_TEST_DATA "/data/run_on_cpu.v1.json";
    ASSERT_EQ(run({"export", old, "-o", file("new.json"), "--format", "report"}).code, 0);
    EXPECT_EQ(nlohmann::json::parse(slurp(file("new.json")))["schema"], "spikescope.run/2");
    const Outcome compared = run({"compare", old, file("new.json"), "--json"});
    const auto peaks = nlohmann::json::parse(compared.out)["peaks"];
    for (const auto& peak : peaks) EXPECT_EQ(peak["bytes"][0], peak["bytes"][1]);

    expectRefusal({"export", file("r.json"), "-o", file("x.csv")}, {"x.csv", "--format", "events, layers"});
    expectRefusal({"export", file("r.json"), "-o", file("x.csv"), "--format", "xml"}, {"'xml'", "events", "report"});
    expectRefusal({"export", file("r.json")}, {"-o"});
    expectRefusal({"export", file("e.csv"), "-o", file("x"), "--format", "report"}, {"e.csv", "report, pytorch"});
    expectRefusal({"export", file("r.json"), "-o", file("r.json"), "--format", "report"}, {"-o", "r.json"});
    expectRefusal({"export", file("missing.json"), "-o", file("x"), "--format", "report"}, {"missing.json"});
    EXPECT_FALSE(std::filesystem::exists(file("x")));
}

TEST_F(CliTest, comparesImages) {
    constexpr std::uint32_t side = 160;
    std::vector<float> flat(side * side * 3, 0.4f), seams = flat;
    for (std::size_t i = 0; i < seams.size(); ++i)
        if (const std::size_t x = i / 3 % side; x == 80) seams[i] = 0.6f;
    const auto png = [&](const std::string& name, const std::vector<float>& rgb) {
        auto writer = spikescope::PngWriter::create(file(name), side, side, 8);
        EXPECT_TRUE(writer && writer->writeRows(rgb) && writer->commit());
        return file(name);
    };
    const auto tensor = [&](const std::string& name, float value, std::size_t pixels) {
        const std::vector<float> values(3 * pixels, value);
        const std::string data(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
        return safetensors(
            name,
            {{"decoded",
              {{"dtype", "F32"}, {"shape", {1, 3, pixels / side, side}}, {"data_offsets", {0, data.size()}}}}},
            data);
    };
    const std::string a = png("a.png", flat), b = png("b.png", seams), heat = file("heat.png");

    const Outcome same = run({"compare-images", a, a});
    EXPECT_EQ(same.code, 0) << same.error;
    EXPECT_NE(same.out.find("psnr       identical\n"), std::string::npos) << same.out;
    const Outcome text = run({"compare-images", a, b, "--tile", "80x160", "--heatmap", heat});
    EXPECT_EQ(text.code, 0) << text.error;
    for (const char* part : {"psnr       36.02 dB", "maximum    0.2 at x 80, y 0, red", "64+", "seams      inf",
                             "heat.png, white is 0.2\n"})
        EXPECT_NE(text.out.find(part), std::string::npos) << part << " is not in " << text.out;
    EXPECT_TRUE(fs::exists(heat));

    const auto json = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "compare-images");
        arguments.emplace_back("--json");
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.code, 0) << outcome.error;
        return nlohmann::json::parse(outcome.out);
    };
    const auto measured = json({a, b, "--tile", "100", "--overlap", "40", "--heatmap", heat});
    EXPECT_NEAR(measured["maximum"].get<double>(), 0.2, 1e-6);
    EXPECT_EQ(measured["maximum_at"]["x"], 80);
    EXPECT_NEAR(measured["mean"].get<double>(), 0.2 / side, 1e-6);
    EXPECT_NEAR(measured["relative_l2"].get<double>(), 0.5 / std::sqrt(side), 1e-6);
    EXPECT_EQ(measured["tiles"]["overlap"], 40);
    EXPECT_EQ(measured["tiles"]["by_distance"].size(), 7u);
    // Edges at 60 and 100: along an axis 96 pixels are at least 16 from both, 56 at least 32.
    EXPECT_EQ(measured["tiles"]["by_distance"][4]["pixels"], 96 * 96 - 56 * 56) << measured;
    EXPECT_EQ(measured["heatmap"]["white"], measured["maximum"]);

    const std::string decoded = tensor("t.safetensors", -0.2f, side * side);
    EXPECT_LT(json({a, decoded + ":decoded"})["maximum"].get<double>(), 1e-6);
    EXPECT_NEAR(json({decoded, a, "--range", "unit"})["maximum"].get<double>(), 0.6, 1e-6);
    const std::string broken = tensor("nan.safetensors", std::nanf(""), side * side);
    EXPECT_NE(run({"compare-images", a, broken}).out.find("psnr       -inf dB"), std::string::npos);
    EXPECT_TRUE(json({a, broken})["maximum"].is_null());
    EXPECT_EQ(json({a, broken})["non_finite_values"], side * side * 3);

    fs::remove(heat);
    const auto refused = [&](std::vector<std::string> more, const std::vector<std::string>& parts) {
        more.insert(more.begin(), "compare-images");
        expectRefusal(std::move(more), parts);
    };
    refused({a}, {"b is required"});
    refused({a, file("absent.png"), "--heatmap", heat}, {"absent.png", "No such file"});
    refused({write("damaged.png", slurp(a).substr(0, slurp(a).size() - 8)), a}, {"damaged.png", "PNG"});
    refused({a, tensor("low.safetensors", 0, 2 * side)}, {"160x160", "160x2"});
    refused({a, b, "--tile", "161"}, {"tile", "161x161", "160x160"});
    refused({a, b, "--tile", "160"}, {"tile", "160x160"});
    refused({a, b, "--tile", "wide"}, {"tile", "'wide'", "WIDTHxHEIGHT"});
    refused({a, b, "--tile", "0"}, {"tile", "'0'"});
    refused({a, b, "--tile", "80", "--overlap", "80", "--heatmap", heat}, {"overlap", "80"});
    refused({a, b, "--tile", "80", "--overlap", "-1"}, {"overlap", "-1"});
    refused({a, b, "--overlap", "8"}, {"--overlap", "--tile"});
    refused({a, decoded, "--range", "full"}, {"range", "full", "signed, unit"});
    refused({a, b, "--heatmap", file("no/heat.png")}, {"no/heat.png", "No such file"});
    refused({a, b, "--heatmap", "/dev/full"}, {"/dev/full", "No space"});
}

TEST_F(CliTest, anInterruptLeavesNothingBehind) {
    const pid_t child =
        start({"decode", "--device", "cpu", "--model", "flux1", "--seed", "1", "--size", "256x256", "--activations",
               "fp32", "-o", file("x.png"), "--tensor-out", file("t.safetensors"), "--quiet"});
    // The outputs' temporary files show that the run is on its way.
    for (int i = 0; i < 200 && visibleFiles().size() < 2; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    const auto asked = std::chrono::steady_clock::now();
    kill(child, SIGINT);
    const Outcome outcome = finish(child);
    EXPECT_EQ(outcome.code, 130) << outcome.error;
    EXPECT_LT(std::chrono::steady_clock::now() - asked,
              std::chrono::seconds(10)); // one op of this size takes about a second
    EXPECT_TRUE(visibleFiles().empty());
}

} // namespace
