#include "core/gpu/shader_library.h"

#include "core/base/caught.h"
#include "core/base/text.h"

#include <glslang/Public/ResourceLimits.h>
#include <glslang/Public/ShaderLang.h>
#include <glslang/SPIRV/GlslangToSpv.h>

#include <algorithm>
#include <map>

namespace spikescope {

namespace {

Result<std::string_view> findSource(std::string_view shader) {
    const auto all = shaderSources();
    const auto found = std::ranges::find(all, shader, &ShaderSource::name);
    if (found == all.end()) return fail(ErrorCode::Unsupported, "there is no shader {}", quote(shader));
    return found->text;
}

// #include "file" becomes the file's text.
Result<std::string> expand(std::string_view shader) {
    TRY(std::string_view rest, findSource(shader));
    constexpr std::string_view directive = "#include \"";
    std::string out;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        if (line.starts_with(directive)) {
            TRY(const std::string included, expand(line.substr(directive.size(), line.rfind('"') - directive.size())));
            out += included;
        } else {
            out += line;
        }
        out += '\n';
    }
    return out;
}

// glslang reads SPIR-V's own types through GL_EXT_spirv_intrinsics, but not one type as the parameter of another.
// Shaders name the component types of cooperative matrices by numbers instead, which become the ids of the real
// types here; those are moved before all other types, where SPIR-V wants them.
constexpr std::uint32_t opTypeFirst = 19, opTypeLast = 39, opTypeFloat = 22, opTypeMatrix = 4456;
constexpr std::uint32_t placeholderF16 = 0x7f15, placeholderBf16 = 0x7f16, placeholderF32 = 0x7f32;

bool nameComponentTypes(std::vector<std::uint32_t>& words) {
    constexpr std::size_t header = 5;
    std::vector<std::uint32_t> preamble, floats, rest;
    std::uint32_t f32 = 0, f16 = 0, bf16 = 0;
    bool types = false, matrices = false;
    for (std::size_t i = header; i < words.size();) {
        const std::uint32_t length = words[i] >> 16, op = words[i] & 0xffffu;
        if (length == 0 || i + length > words.size()) return false;
        types = types || (op >= opTypeFirst && op <= opTypeLast);
        matrices = matrices || op == opTypeMatrix;
        // Only the type of bfloat16 has a fourth word, its encoding.
        if (op == opTypeFloat) (length == 4 ? bf16 : words[i + 2] == 32 ? f32 : f16) = words[i + 1];
        std::vector<std::uint32_t>& into = op == opTypeFloat ? floats : types ? rest : preamble;
        into.insert(into.end(), words.begin() + static_cast<std::ptrdiff_t>(i),
                    words.begin() + static_cast<std::ptrdiff_t>(i + length));
        i += length;
    }
    if (!matrices) return true;
    if (f32 == 0) {
        f32 = words[3]++; // the bound of all ids
        floats.insert(floats.end(), {3u << 16 | opTypeFloat, f32, 32u});
    }
    for (std::size_t i = 0; i < rest.size(); i += rest[i] >> 16) {
        if ((rest[i] & 0xffffu) != opTypeMatrix) continue;
        if (rest[i + 2] == placeholderF16) rest[i + 2] = f16;
        if (rest[i + 2] == placeholderBf16) rest[i + 2] = bf16;
        if (rest[i + 2] == placeholderF32) rest[i + 2] = f32;
        if (rest[i + 2] == 0) return false;
    }
    words.resize(header);
    for (const auto* part : {&preamble, &floats, &rest}) words.insert(words.end(), part->begin(), part->end());
    return true;
}

constexpr auto messages = static_cast<EShMessages>(EShMsgSpvRules | EShMsgVulkanRules);

bool parse(glslang::TShader& shader, const char* const* text, const char* preamble) {
    shader.setStrings(text, 1);
    shader.setPreamble(preamble);
    shader.setEnvInput(glslang::EShSourceGlsl, EShLangCompute, glslang::EShClientVulkan, 120);
    shader.setEnvClient(glslang::EShClientVulkan, glslang::EShTargetVulkan_1_2);
    shader.setEnvTarget(glslang::EShTargetSpv, glslang::EShTargetSpv_1_5);
    return shader.parse(GetDefaultResources(), 460, false, messages);
}

// With the first shader glslang builds its tables of built-in names under a lock, which it never releases when it runs
// out of memory there. So this happens once, on one thread, and if it fails no other shader is compiled.
bool glslangIsReady() {
    static const bool ready = [] {
        const auto parsed = caught([]() -> Result<bool> {
            glslang::InitializeProcess();
            glslang::TShader empty(EShLangCompute);
            const char* text = "void main() {}";
            return parse(empty, &text, "");
        });
        return parsed && *parsed;
    }();
    return ready;
}

} // namespace

std::uint32_t pushConstantBytes(std::span<const std::uint32_t> words) {
    constexpr std::size_t header = 5;
    constexpr std::uint32_t opTypeInt = 21, opTypeStruct = 30, opTypePointer = 32, opMemberDecorate = 72;
    constexpr std::uint32_t storagePushConstant = 9, decorationOffset = 35;
    std::map<std::uint32_t, std::uint32_t> scalars;                           // type to bytes
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> offsets; // of struct and member
    std::map<std::uint32_t, std::vector<std::uint32_t>> structs;              // types of members
    std::uint32_t bytes = 0;
    for (std::size_t i = header; i < words.size();) {
        const std::uint32_t length = words[i] >> 16, op = words[i] & 0xffffu;
        if (length == 0 || i + length > words.size()) return 0;
        const auto operands = words.subspan(i + 1, length - 1);
        if (op == opMemberDecorate && operands.size() == 4 && operands[2] == decorationOffset)
            offsets[{operands[0], operands[1]}] = operands[3];
        else if ((op == opTypeInt || op == opTypeFloat) && operands.size() >= 2)
            scalars[operands[0]] = operands[1] / 8;
        else if (op == opTypeStruct && !operands.empty())
            structs[operands[0]] = {operands.begin() + 1, operands.end()};
        else if (op == opTypePointer && operands.size() == 3 && operands[1] == storagePushConstant) {
            const std::vector<std::uint32_t>& members = structs[operands[2]];
            for (std::uint32_t member = 0; member < members.size(); ++member)
                bytes = std::max(bytes, offsets[{operands[2], member}] + scalars[members[member]]);
        }
        i += length;
    }
    return bytes;
}

Result<std::vector<std::uint32_t>> compileShader(std::string_view shader, const std::vector<Define>& defines) {
    if (!glslangIsReady())
        return fail(ErrorCode::OutOfHostMemory, "shader {}: out of host memory for the compiler's tables", shader);
    TRY(const std::string source, expand(shader));
    std::string preamble;
    for (const Define& define : defines) preamble += fmt::format("#define {} {}\n", define.name, define.value);
    glslang::TShader compiled(EShLangCompute);
    const char* text = source.c_str();
    if (!parse(compiled, &text, preamble.c_str()))
        return fail(ErrorCode::Unsupported, "shader {}: {}", shader, compiled.getInfoLog());
    glslang::TProgram program;
    program.addShader(&compiled);
    if (!program.link(messages)) return fail(ErrorCode::Unsupported, "shader {}: {}", shader, program.getInfoLog());
    std::vector<std::uint32_t> words;
    glslang::SpvOptions options;
    options.generateDebugInfo = false;
    glslang::GlslangToSpv(*program.getIntermediate(EShLangCompute), words, &options);
    if (!nameComponentTypes(words))
        return fail(ErrorCode::Unsupported, "shader {}: its matrix types are not as expected", shader);
    return words;
}

} // namespace spikescope
