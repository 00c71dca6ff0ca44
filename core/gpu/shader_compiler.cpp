#include "core/gpu/shader_library.h"

#include "core/base/text.h"

#include <glslang/Public/ResourceLimits.h>
#include <glslang/Public/ShaderLang.h>
#include <glslang/SPIRV/GlslangToSpv.h>

#include <algorithm>
#include <mutex>

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

} // namespace

Result<std::vector<std::uint32_t>> compileShader(std::string_view shader, const std::vector<Define>& defines) {
    static std::once_flag once;
    std::call_once(once, [] { glslang::InitializeProcess(); });
    TRY(const std::string source, expand(shader));
    std::string preamble;
    for (const Define& define : defines) preamble += fmt::format("#define {} {}\n", define.name, define.value);

    glslang::TShader compiled(EShLangCompute);
    const char* text = source.c_str();
    compiled.setStrings(&text, 1);
    compiled.setPreamble(preamble.c_str());
    compiled.setEnvInput(glslang::EShSourceGlsl, EShLangCompute, glslang::EShClientVulkan, 120);
    compiled.setEnvClient(glslang::EShClientVulkan, glslang::EShTargetVulkan_1_2);
    compiled.setEnvTarget(glslang::EShTargetSpv, glslang::EShTargetSpv_1_5);
    constexpr auto messages = static_cast<EShMessages>(EShMsgSpvRules | EShMsgVulkanRules);
    if (!compiled.parse(GetDefaultResources(), 460, false, messages))
        return fail(ErrorCode::Unsupported, "shader {}: {}", shader, compiled.getInfoLog());
    glslang::TProgram program;
    program.addShader(&compiled);
    if (!program.link(messages)) return fail(ErrorCode::Unsupported, "shader {}: {}", shader, program.getInfoLog());
    std::vector<std::uint32_t> words;
    glslang::SpvOptions options;
    options.generateDebugInfo = false;
    glslang::GlslangToSpv(*program.getIntermediate(EShLangCompute), words, &options);
    return words;
}

} // namespace spikescope
