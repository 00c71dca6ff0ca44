#include "core/program/presets.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>

namespace spikescope {

namespace {

using Value = std::pair<std::string_view, std::string_view>;

// MLX caches freed buffers without a limit unless it is told one.
constexpr Value mlxAllocator{"allocator", "cache-limit:1024"};

// A scaling factor in fp32, no barriers, both halves of the model, and doubling by broadcast and reshape.
constexpr std::array mlxBefore{
    Value{"activations", "bf16"}, Value{"weights-dtype", "auto"}, Value{"promote", "on"},
    Value{"lifetime", "lazy"},    Value{"evaluate", "none"},      Value{"ahead", "0"},
    Value{"conv", "im2col"},      Value{"upsample", "broadcast"}, Value{"norm", "separate"},
    Value{"attention", "naive"},  Value{"hold", "off"},           Value{"layout-copies", "off"},
    Value{"load", "full"},        Value{"apply", "dictionary"},   mlxAllocator,
    Value{"tile", "off"}};
// Scalars in bf16, a barrier behind each block, the decoder alone, and doubling into one map.
constexpr std::array mlxAfter{
    Value{"activations", "bf16"}, Value{"weights-dtype", "auto"}, Value{"promote", "off"},
    Value{"lifetime", "lazy"},    Value{"evaluate", "block"},     Value{"ahead", "0"},
    Value{"conv", "im2col"},      Value{"upsample", "nearest"},   Value{"norm", "separate"},
    Value{"attention", "naive"},  Value{"hold", "off"},           Value{"layout-copies", "off"},
    Value{"load", "decoder"},     Value{"apply", "dictionary"},   mlxAllocator,
    Value{"tile", "off"}};
// What MLX's source does without barriers of the program: command buffers of 50 ops or 50 MiB of inputs (M-series Max
// and Ultra), of which ten may be under way, and Winograd where its conditions hold.
constexpr std::array mlxToday{Value{"activations", "bf16"},
                              Value{"weights-dtype", "auto"},
                              Value{"promote", "off"},
                              Value{"lifetime", "lazy"},
                              Value{"evaluate", "ops:50,bytes:52428800"},
                              Value{"ahead", "10"},
                              Value{"conv", "winograd"},
                              Value{"upsample", "nearest"},
                              Value{"norm", "separate"},
                              Value{"attention", "naive"},
                              Value{"hold", "off"},
                              Value{"layout-copies", "off"},
                              Value{"load", "decoder"},
                              Value{"apply", "dictionary"},
                              mlxAllocator,
                              Value{"tile", "off"}};
// Channels first: cuDNN copies each convolution's input and output; the modules' callers keep their inputs.
constexpr std::array pytorchEager{Value{"activations", "bf16"},  Value{"weights-dtype", "auto"},
                                  Value{"promote", "off"},       Value{"lifetime", "stream"},
                                  Value{"evaluate", "auto"},     Value{"ahead", "0"},
                                  Value{"conv", "direct"},       Value{"upsample", "nearest"},
                                  Value{"norm", "separate"},     Value{"attention", "chunked"},
                                  Value{"hold", "on"},           Value{"layout-copies", "on"},
                                  Value{"load", "full"},         Value{"apply", "stream"},
                                  Value{"allocator", "caching"}, Value{"tile", "off"}};
// GroupNorm returns channels-first tensors whatever it gets, so the convolution after it copies its input.
constexpr std::array pytorchChannelsLast{Value{"activations", "bf16"},  Value{"weights-dtype", "auto"},
                                         Value{"promote", "off"},       Value{"lifetime", "stream"},
                                         Value{"evaluate", "auto"},     Value{"ahead", "0"},
                                         Value{"conv", "direct"},       Value{"upsample", "nearest"},
                                         Value{"norm", "separate"},     Value{"attention", "chunked"},
                                         Value{"hold", "on"},           Value{"layout-copies", "after-norm"},
                                         Value{"load", "full"},         Value{"apply", "stream"},
                                         Value{"allocator", "caching"}, Value{"tile", "off"}};
constexpr std::array torchCompile{
    Value{"activations", "bf16"},  Value{"weights-dtype", "auto"}, Value{"promote", "off"},
    Value{"lifetime", "stream"},   Value{"evaluate", "auto"},      Value{"ahead", "0"},
    Value{"conv", "direct"},       Value{"upsample", "nearest"},   Value{"norm", "fused"},
    Value{"attention", "chunked"}, Value{"hold", "off"},           Value{"layout-copies", "off"},
    Value{"load", "full"},         Value{"apply", "stream"},       Value{"allocator", "caching"},
    Value{"tile", "off"}};
// Norms as convolutions read keep a second map of full size from existing, in both. Folding saves 5/9 of the work of
// three of the heaviest convolutions for weights 16/9 as large.
constexpr std::array fastest{Value{"activations", "bf16"}, Value{"weights-dtype", "auto"},
                             Value{"promote", "off"},      Value{"lifetime", "planned"},
                             Value{"evaluate", "auto"},    Value{"ahead", "0"},
                             Value{"conv", "direct"},      Value{"upsample", "folded"},
                             Value{"norm", "on-load"},     Value{"attention", "chunked"},
                             Value{"hold", "off"},         Value{"layout-copies", "off"},
                             Value{"load", "decoder"},     Value{"apply", "stream"},
                             Value{"allocator", "arena"},  Value{"offload", "before-load"},
                             Value{"tile", "off"}};
// Four stripes, which cost a quarter of the time. Folded kernels are 7 MiB more weights, and what is made three times
// is those convolutions.
constexpr std::array leanestStripes{Value{"tile", "stripe:1/4"}, Value{"tile-norm", "auto"},
                                    Value{"tile-attention", "auto"}, Value{"spill", "recompute"}};

// Columns, products, one graph with planned memory.
constexpr std::array ggml{Value{"activations", "fp32"}, Value{"weights-dtype", "auto"}, Value{"promote", "off"},
                          Value{"lifetime", "planned"}, Value{"evaluate", "auto"},      Value{"ahead", "0"},
                          Value{"conv", "im2col"},      Value{"upsample", "nearest"},   Value{"norm", "separate"},
                          Value{"attention", "naive"},  Value{"hold", "off"},           Value{"layout-copies", "off"},
                          Value{"load", "decoder"},     Value{"apply", "stream"},       Value{"allocator", "arena"}};
// The tiles are peers' defaults, read in their sources; the engines are PyTorch's and ggml's.
// AutoencoderKL.tiled_decode() in src/diffusers/models/autoencoders/autoencoder_kl.py, huggingface/diffusers at
// 58eb52c: tiles of the model's sample size, 1024 or 512, and a quarter shared. InvokeAI enables it, and with a tile
// size of its own patches it to that and a quarter (invokeai/app/invocations/latents_to_image.py, invoke-ai/InvokeAI at
// 8e71a8a).
constexpr std::array diffusersTiles{Value{"tile", "1024"},           Value{"overlap", "256"},
                                    Value{"tile-grid", "diffusers"}, Value{"blend", "linear"},
                                    Value{"tile-norm", "own"},       Value{"tile-attention", "auto"}};
// VAEDecodeTiled in nodes.py and tiled_scale_multidim() in comfy/utils.py, Comfy-Org/ComfyUI at 02217e3 and 09708ea;
// decode_tiled_() in comfy/sd.py, comfyanonymous/ComfyUI at 00728eb.
constexpr std::array comfyuiTiles{
    Value{"tile", "512"},      Value{"overlap", "64"},    Value{"tile-grid", "three-passes"},
    Value{"blend", "feather"}, Value{"tile-norm", "own"}, Value{"tile-attention", "auto"}};
// get_tile_sizes() in src/model/vae/vae.hpp and sd_tensor_merge_2d() in src/core/ggml_extend.hpp,
// leejet/stable-diffusion.cpp at 97d2990: 32 latents of a decode; an encode takes 64.
constexpr std::array sdcppTiles{Value{"tile", "256"},         Value{"overlap", "128"},
                                Value{"tile-grid", "fitted"}, Value{"blend", "smootherstep"},
                                Value{"tile-norm", "own"},    Value{"tile-attention", "auto"}};
// tiled_decode() in src/models/video_vae_v3/modules/attn_video_vae.py and the node's defaults in
// src/interfaces/vae_model_loader.py, numz/ComfyUI-SeedVR2_VideoUpscaler at 4490bd1.
constexpr std::array seedvr2Tiles{Value{"tile", "1024"},    Value{"overlap", "128"},   Value{"tile-grid", "cut"},
                                  Value{"blend", "cosine"}, Value{"tile-norm", "own"}, Value{"tile-attention", "auto"}};

constexpr std::array table{
    Preset{"mlx-before", "an MLX pipeline that spiked: promoted, lazy without barriers, im2col", mlxBefore},
    Preset{"mlx-after", "the same pipeline with its fixes", mlxAfter},
    Preset{"mlx-today", "what MLX's source does: Winograd, batches of 50 ops or 50 MiB, ten ahead", mlxToday},
    Preset{"pytorch-eager", "PyTorch with diffusers, channels first", pytorchEager},
    Preset{"pytorch-channels-last", "PyTorch with diffusers, channels last", pytorchChannelsLast},
    Preset{"torch-compile", "PyTorch, compiled, channels last", torchCompile},
    Preset{"leanest", "a small exact peak for at most 1.3 times the time: four stripes, upsampled tensors recomputed",
           fastest, leanestStripes},
    Preset{"fastest", "the smallest time that this program can do", fastest},
    Preset{"diffusers-tiled", "PyTorch with diffusers' tiles: 1024 pixels, a quarter shared", pytorchEager,
           diffusersTiles},
    Preset{"comfyui-tiled", "ComfyUI's tiles: 512 pixels, 64 shared, three passes averaged", pytorchEager,
           comfyuiTiles},
    Preset{"sdcpp-tiled", "stable-diffusion.cpp's tiles: 256 pixels, half shared, columns of im2col", ggml, sdcppTiles},
    Preset{"seedvr2-tiled", "SeedVR2's tiles: 1024 pixels, 128 shared, cosines", pytorchEager, seedvr2Tiles},
    Preset{"invokeai-tiled", "InvokeAI's tiles: diffusers', 1024 pixels, a quarter shared", pytorchEager,
           diffusersTiles},
};

} // namespace

std::span<const Preset> presets() { return table; }

Result<void> applyPreset(Controls& controls, std::string_view presetName) {
    const auto found = std::ranges::find(table, presetName, &Preset::name);
    if (found == table.end()) {
        std::vector<std::string> names;
        for (const Preset& preset : table) names.emplace_back(preset.name);
        return fail(ErrorCode::BadUsage, "preset: {} is unknown; allowed: {}", quote(presetName), joined(names, ", "));
    }
    for (const auto& values : {found->values, found->more})
        for (const auto& [control, value] : values) CHECK(setControl(controls, control, value));
    return {};
}

} // namespace spikescope
