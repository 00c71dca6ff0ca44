// Convolutions of the portable kernels, method by method.

#include "core/kernels/portable_kernels.h"

#include "core/base/checked.h"

#include <algorithm>

namespace spikescope {

WeightPacking PortableKernels::packing(const ConvCall& call, const Program& program) const {
    const std::uint64_t out = program.tensor(call.out).shape.c, in = program.tensor(call.in).shape.c,
                        taps = call.kernel * call.kernel;
    if (call.method == ConvMethod::Folded) return {{4, out * in * 4}, {4, 1}, {in, 4}, {out, in * 4}};
    return out % 4 == 0 ? packTapInOut(out, in, taps) : packOutTapIn(out, in, taps);
}

Result<void> PortableKernels::conv(const ConvCall& given, const Target& target) {
    ConvCall call = given;
    if (given.inCopy) {
        CHECK(copy({.in = given.in, .out = *given.inCopy}, target));
        call.in = *given.inCopy;
    }
    if (given.outCopy) call.out = *given.outCopy;
    switch (call.method) {
    case ConvMethod::Direct:
        if (isProduct(call))
            CHECK(matmul(productOf(call, target), target));
        else
            CHECK(directConv(call, target));
        break;
    case ConvMethod::Folded: CHECK(directConv(call, target)); break;
    case ConvMethod::Im2col: CHECK(im2col(call, target)); break;
    case ConvMethod::Winograd: CHECK(winograd(call, target)); break;
    }
    if (given.outCopy) CHECK(copy({.in = *given.outCopy, .out = given.out}, target));
    if (!given.stats) return {};
    const auto slices = slicesOf(call, target.program);
    if (!slices) CHECK(normStats(*given.stats, target));
    return gatherStats(*given.stats, slices.value_or(given.stats->slices), target);
}

bool PortableKernels::isProduct(const ConvCall& call) { return call.kernel == 1 && call.stride == 1 && !call.upsample; }

PortableKernels::Matmul PortableKernels::productOf(const ConvCall& call, const Target& target) {
    const Shape &in = target.tensor(call.in).shape, &out = target.tensor(call.out).shape;
    return {.a = call.in,
            .b = call.weight,
            .out = call.out,
            .bias = call.bias,
            .residual = call.residual,
            .rows = in.n * in.pixels(),
            .inner = in.c,
            .columns = out.c,
            .activation = call.activation,
            .inPlace = target.tensor(call.out).within == call.in};
}

Result<void> PortableKernels::directConv(const ConvCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    const DType weight = target.tensor(call.weight).dtype;
    if (in.shape.c % 4 != 0 || out.shape.c % 4 != 0) {
        if (call.stride != 1 || call.upsample || call.residual)
            return fail(ErrorCode::Unsupported, "no kernel makes {} channels of {} this way", out.shape.c, in.shape.c);
        return fewChannels({.inAddress = target.address(call.in),
                            .weightAddress = target.address(call.weight),
                            .biasAddress = target.address(call.bias),
                            .outAddress = target.address(call.out),
                            .pictures = narrow<uint>(in.shape.n),
                            .inHeight = narrow<uint>(in.shape.h),
                            .inWidth = narrow<uint>(in.shape.w),
                            .inChannels = narrow<uint>(in.shape.c),
                            .outHeight = narrow<uint>(out.shape.h),
                            .outWidth = narrow<uint>(out.shape.w),
                            .outChannels = narrow<uint>(out.shape.c),
                            .padTop = call.padTop,
                            .padLeft = call.padLeft,
                            .inStride = narrow<uint>(in.stride() / 4),
                            .coefficientsAddress = call.norm ? target.address(call.norm->coefficients) : 0},
                           call.kernel, {in.dtype, weight, out.dtype}, call.activation, call.norm, target);
    }
    CHECK(checkIndices("product.comp", {{"pixels of the output", out.shape.pixels()}}));
    const bool folded = call.method == ConvMethod::Folded;
    std::vector<Define> defines{{"IN", shaderType(in.dtype)},
                                {"WEIGHT", shaderType(weight)},
                                {"OUT", shaderType(out.dtype)},
                                {"KERNEL", folded ? "2" : std::to_string(call.kernel)},
                                {"STRIDE", std::to_string(call.stride)}};
    if (folded)
        defines.push_back({"FOLDED", "1"});
    else if (call.upsample)
        defines.push_back({"UPSAMPLE", "1"});
    addEpilogue(defines, call, target.program);
    addNorm(defines, call.norm);
    return product({.inAddress = target.address(call.in),
                    .weightAddress = target.address(call.weight),
                    .biasAddress = target.address(call.bias),
                    .residualAddress = target.address(call.residual),
                    .outAddress = target.address(call.out),
                    .coefficientsAddress = call.norm ? target.address(call.norm->coefficients) : 0,
                    .batchStrideA = in.shape.pixels() * in.stride(),
                    .pictures = narrow<uint>(in.shape.n),
                    .rows = narrow<uint>(out.shape.pixels() / (folded ? 4 : 1)),
                    .columns = narrow<uint>(out.shape.c),
                    .inner = narrow<uint>(in.shape.c),
                    .inStride = narrow<uint>(in.stride()),
                    .weightStride = narrow<uint>(out.shape.c),
                    .outStride = narrow<uint>(out.stride()),
                    .residualStride = call.residual ? narrow<uint>(target.tensor(*call.residual).stride()) : 0,
                    .inHeight = narrow<uint>(in.shape.h),
                    .inWidth = narrow<uint>(in.shape.w),
                    .outHeight = narrow<uint>(out.shape.h),
                    .outWidth = narrow<uint>(out.shape.w),
                    .padTop = folded ? foldedPad(call.padTop) : call.padTop,
                    .padLeft = folded ? foldedPad(call.padLeft) : call.padLeft,
                    .scale = 1.0f},
                   defines, target, folded ? 4 : 1);
}

Result<void> PortableKernels::fewChannels(const push::FewChannels& push, std::uint32_t kernel,
                                          const FewChannelsTypes& types, Activation activation,
                                          const std::optional<ConvCall::NormOnLoad>& norm, const Target& target) {
    std::vector<Define> defines{{"WEIGHT", shaderType(types.weight)}, {"KERNEL", std::to_string(kernel)}};
    if (push.biasAddress) defines.push_back({"BIAS", "1"});
    if (push.outChannels % 4 == 0) {
        if (types.in != DType::F32)
            return fail(ErrorCode::Unsupported, "no kernel reads {} channels of {}", push.inChannels,
                        spikescope::name(types.in));
        defines.push_back({"OUT", shaderType(types.out)});
        addActivation(defines, activation);
        const std::uint64_t quads = divideUp(push.outWidth, 4u);
        return add(target, "conv_few_inputs.comp", defines, push,
                   push.pictures * quads * push.outHeight * (push.outChannels / 4), 64);
    }
    constexpr std::uint32_t mostOutputs = 16; // that a thread sums in registers
    if (push.inChannels % 4 != 0 && types.in == DType::F32 && types.weight == DType::F32 && types.out == DType::F32 &&
        activation == Activation::None && !norm)
        return add(target, "conv_few_both.comp", defines, push,
                   std::uint64_t{push.pictures} * push.outHeight * push.outWidth * push.outChannels, 64);
    if (push.outChannels > mostOutputs || push.inChannels % 4 != 0 || types.out != DType::F32 ||
        activation != Activation::None)
        return fail(ErrorCode::Unsupported, "no kernel makes {} channels of {} this way", push.outChannels,
                    push.inChannels);
    defines.push_back({"IN", shaderType(types.in)});
    defines.push_back({"OUTPUTS", std::to_string(push.outChannels)});
    addNorm(defines, norm);
    return add(target, "conv_few_outputs.comp", defines, push,
               std::uint64_t{push.pictures} * push.outHeight * push.outWidth, 64);
}

Result<void> PortableKernels::matmulInPlace(const Matmul& m, const Target& target) {
    const Tensor& a = target.tensor(m.a);
    if (m.inner % 4 != 0 || m.columns % 4 != 0 || m.inner > 512 || m.residual || m.activation != Activation::None)
        return fail(ErrorCode::Unsupported, "no kernel makes {} channels of {} in place", m.columns, m.inner);
    std::vector<Define> defines{{"IN", shaderType(a.dtype)},
                                {"WEIGHT", shaderType(target.tensor(m.b).dtype)},
                                {"INNER", std::to_string(m.inner)},
                                {"COLUMNS", std::to_string(m.columns)}};
    if (m.bias) defines.push_back({"BIAS", "1"});
    return add(target, "conv1x1_in_place.comp", defines,
               push::Conv1x1InPlace{target.address(m.a), target.address(m.b), target.address(m.bias), m.rows}, m.rows,
               8);
}

Result<void> PortableKernels::im2col(const ConvCall& call, const Target& target) {
    const Tensor& in = target.tensor(call.in);
    const Shape& out = target.tensor(call.out).shape;
    std::vector<Define> defines{{"TYPE", shaderType(in.dtype)}, {"STRIDE", std::to_string(call.stride)}};
    if (call.upsample) defines.push_back({"UPSAMPLE", "1"});
    const bool hasFewInputs = in.shape.c % 4 != 0;
    if (hasFewInputs && in.dtype != DType::F32)
        return fail(ErrorCode::Unsupported, "no kernel makes columns of {} channels of {}", in.shape.c,
                    spikescope::name(in.dtype));
    if (hasFewInputs) defines.push_back({"FEW_INPUTS", "1"});
    Matmul product = productOf(call, target);
    product.a = *call.columns;
    product.inner = 9 * in.shape.c;
    const std::uint64_t allRows = out.n * out.h;
    for (std::uint64_t first = 0; first < allRows; first += call.chunkRows) {
        const std::uint64_t rows = std::min(call.chunkRows, allRows - first);
        CHECK(add(target, "im2col.comp", defines,
                  push::Im2col{.inAddress = target.address(call.in),
                               .columnsAddress = target.address(*call.columns),
                               .firstRow = narrow<uint>(first),
                               .rows = narrow<uint>(rows),
                               .inHeight = narrow<uint>(in.shape.h),
                               .inWidth = narrow<uint>(in.shape.w),
                               .channels = narrow<uint>(in.shape.c),
                               .outHeight = narrow<uint>(out.h),
                               .outWidth = narrow<uint>(out.w),
                               .padTop = call.padTop,
                               .padLeft = call.padLeft},
                  rows * out.w * 9 * (hasFewInputs ? in.shape.c : in.shape.c / 4), 64));
        product.outRow = first * out.w;
        product.rows = rows * out.w;
        CHECK(matmul(product, target));
    }
    return {};
}

Result<void> PortableKernels::winograd(const ConvCall& call, const Target& target) {
    const ConvCall::Winograd& w = *call.winograd;
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out), &padded = target.tensor(w.padded);
    const std::string type = shaderType(in.dtype);
    const std::uint64_t tilesY = (padded.shape.h - 2) / winogradTile, tilesX = (padded.shape.w - 2) / winogradTile,
                        tiles = padded.shape.n * tilesY * tilesX, inBlocks = in.shape.c / 4,
                        outBlocks = out.shape.c / 4;
    std::vector<Define> padDefines{{"TYPE", type}};
    if (call.upsample) padDefines.push_back({"UPSAMPLE", "1"});
    CHECK(add(
        target, "winograd_pad.comp", padDefines,
        push::WinogradPad{target.address(call.in), target.address(w.padded), narrow<uint>(in.shape.n),
                          narrow<uint>(in.shape.h), narrow<uint>(in.shape.w), narrow<uint>(inBlocks),
                          narrow<uint>(padded.shape.h), narrow<uint>(padded.shape.w), call.padTop, call.padLeft},
        padded.shape.n * padded.shape.h * divideUp<std::uint64_t>(padded.shape.w * inBlocks, WINOGRAD_PAD_THREADS), 1));
    CHECK(add(target, "winograd_filter.comp", {{"WEIGHT", shaderType(target.tensor(call.weight).dtype)}, {"OUT", type}},
              push::WinogradFilter{target.address(call.weight), target.address(w.filters), narrow<uint>(in.shape.c),
                                   narrow<uint>(outBlocks)},
              in.shape.c * outBlocks, 64));
    // A thread of the transforms takes one channel, or two 16-bit channels, which share a word.
    const auto valuesOf = [](std::uint64_t channels, bool pairs) { return channels / (pairs ? 2 : 1); };
    const auto groupsOf = [&](std::uint64_t values) {
        return divideUp<std::uint64_t>(tiles, WINOGRAD_GROUP_TILES) *
               divideUp<std::uint64_t>(values, WINOGRAD_GROUP_VALUES);
    };
    const bool inPairs = in.dtype != DType::F32;
    std::vector<Define> inputDefines{{"TYPE", type}};
    if (inPairs) inputDefines.push_back({"PAIRS", "1"});
    const std::uint64_t inValues = valuesOf(in.shape.c, inPairs);
    CHECK(add(target, "winograd_input.comp", inputDefines,
              push::WinogradInput{target.address(w.padded), target.address(w.inputs), narrow<uint>(in.shape.n),
                                  narrow<uint>(tilesY), narrow<uint>(tilesX), narrow<uint>(inValues)},
              groupsOf(inValues), 1));
    CHECK(matmulPlanes(
        {.a = w.inputs, .b = w.filters, .out = w.products, .rows = tiles, .inner = in.shape.c, .columns = out.shape.c},
        winogradReach * winogradReach, target));
    const DType added = call.residual ? target.tensor(*call.residual).dtype : out.dtype;
    const bool outPairs = inPairs || out.dtype != DType::F32 || added != DType::F32;
    std::vector<Define> outputDefines{{"TYPE", type}, {"OUT", shaderType(out.dtype)}};
    if (outPairs) outputDefines.push_back({"PAIRS", "1"});
    addEpilogue(outputDefines, call, target.program);
    const std::uint64_t outValues = valuesOf(out.shape.c, outPairs);
    return add(target, "winograd_output.comp", outputDefines,
               push::WinogradOutput{target.address(w.products), target.address(call.bias),
                                    target.address(call.residual), target.address(call.out), narrow<uint>(in.shape.n),
                                    narrow<uint>(tilesY), narrow<uint>(tilesX), narrow<uint>(outValues),
                                    narrow<uint>(out.shape.h), narrow<uint>(out.shape.w)},
               groupsOf(outValues), 1);
}

Result<void> PortableKernels::copy(const CopyCall& call, const Target& target) {
    const Tensor &in = target.tensor(call.in), &out = target.tensor(call.out);
    if (!call.upsample) {
        // The last word may reach beyond the tensor, into the padding to 256 bytes that every tensor has.
        const std::uint64_t words = divideUp<std::uint64_t>(in.bytes, 16);
        return add(
            target, "copy.comp", {},
            push::Copy{.inAddress = target.address(call.in), .outAddress = target.address(call.out), .items = words},
            words, 64);
    }
    if (out.shape.c % 4 != 0) return fail(ErrorCode::Unsupported, "no kernel upsamples {} channels", out.shape.c);
    const std::uint64_t items = out.shape.elements() / 4;
    return add(target, "copy.comp", {{"UPSAMPLE", "1"}, {"TYPE", shaderType(out.dtype)}},
               push::Copy{.inAddress = target.address(call.in),
                          .outAddress = target.address(call.out),
                          .items = items,
                          .rows = narrow<uint>(out.shape.n * out.shape.h),
                          .width = narrow<uint>(out.shape.w),
                          .blocks = narrow<uint>(out.shape.c / 4)},
               items, 64);
}

} // namespace spikescope
