#pragma once
// Everything that moves the spike, by name. The same names and values stand on the command line, in configurations, in
// the window and in exports; the table of control_table.cpp is the one place that knows them.

#include "core/base/dtype.h"
#include "core/base/error.h"
#include "core/model/family.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spikescope {

enum class LifetimePolicy : std::uint8_t {
    Planned, // static offsets from exact lifetimes; ops that allow it work in place
    Stream,  // memory returns at the last use in submission order
    Lazy,    // memory returns when the batch that used it has been evaluated
};
enum class ConvLowering : std::uint8_t { Direct, Im2col, Winograd };
enum class UpsampleLowering : std::uint8_t { Fused, Nearest, Broadcast, Folded };
enum class NormLowering : std::uint8_t {
    Separate, // GroupNorm, then its activation
    Fused,    // both in one pass
    OnLoad,   // as the convolution behind reads, where that is faster or keeps a large map from existing
};
enum class AttentionLowering : std::uint8_t { Chunked, Naive };
enum class LayoutCopies : std::uint8_t { Off, On, AfterNorm };
enum class LoadPolicy : std::uint8_t {
    Decoder, // the half of the model that the op needs
    Full,
};
enum class ApplyPolicy : std::uint8_t {
    Stream,     // parameters reach the device one by one
    Dictionary, // by way of two dictionaries in host memory
};
enum class Offload : std::uint8_t { BeforeLoad, AfterDecode, Never };
enum class AllocatorPolicy : std::uint8_t { Auto, Arena, Direct, Caching, Expandable, CacheLimit };

// Where a batch of ops ends.
struct EvaluatePolicy {
    enum class At : std::uint8_t { Auto, Layer, Block, Stage, Count, None };
    At at = At::Auto;
    std::uint64_t ops = 0,
                  bytes = 0; // of Count: after so many ops, or once they read more bytes than this; 0: no limit
    bool operator==(const EvaluatePolicy&) const = default;
};

// Parts in which an op is run.
struct TileChoice {
    enum class Kind : std::uint8_t { Off, Tiles, Stripe };
    Kind kind = Kind::Off;
    std::uint64_t width = 0, height = 0; // output pixels; of stripes the height
    std::uint64_t parts = 0;             // of stripes without a height: so many of the picture
    // One tile or stripe holds all of a picture.
    bool covers(std::uint64_t pictureWidth, std::uint64_t pictureHeight) const {
        return parts == 0 && (kind == Kind::Stripe || width >= pictureWidth) && height >= pictureHeight;
    }
    bool operator==(const TileChoice&) const = default;
};
constexpr std::uint64_t minTileRows = 16; // of stripes
constexpr std::uint64_t minTileSide = 32; // pixels
// Sides of tiles and overlaps are multiples of it, in pixels; of a VAE with more pixels for each latent, of those.
constexpr std::uint64_t tileUnit = 8;
constexpr std::uint64_t maxTilesInFlight = 4;
enum class TileArrangement : std::uint8_t {
    Even,   // the last tile is moved back so that it ends where the picture does
    Fitted, // the same, with as much overlap as makes all tiles fill the picture evenly, as stable-diffusion.cpp does
    Cut,    // it is cut off there
    Diffusers,   // the same, and one more where the last overlap would be; blended one after the other
    ThreePasses, // cut, once more half as wide and twice as high, and the other way round: averaged, as ComfyUI does
};
enum class Blend : std::uint8_t { Linear, Cosine, Smootherstep, Crop, Feather };
enum class TileNorm : std::uint8_t { Auto, Own, Shared };      // statistics of each tile, or of all together
enum class TileAttention : std::uint8_t { Auto, Own, Global }; // over each tile, or over all of the map
enum class Spill : std::uint8_t {
    Device,             // maps between norms stay there
    Host,               // those that would raise the peak lie in the machine's memory
    RecomputeUpsampled, // doubled ones, which are the largest, are made again
    Recompute,          // all are that would raise the peak
};

struct Controls {
    std::string model;                   // family; empty: from the checkpoint, or defaultControls()
    std::string weights = "synthetic:7"; // synthetic:SEED or a .safetensors file
    VaeTask op = VaeTask::Decode;
    std::uint64_t width = 0, height = 0; // pixels; 0: from the input, or defaultControls()
    std::uint64_t batch = 1;
    std::uint64_t repeat = 1; // times that the op runs, one after another over loaded weights
    DType activations = DType::BF16;
    std::optional<DType> weightsDtype; // empty: as activations
    bool promote = false;
    LifetimePolicy lifetime = LifetimePolicy::Planned;
    EvaluatePolicy evaluate;
    std::uint32_t ahead = 0; // batches
    ConvLowering conv = ConvLowering::Direct;
    std::uint64_t im2colBytes = 0; // of the columns at a time; 0: all
    UpsampleLowering upsample = UpsampleLowering::Fused;
    NormLowering norm = NormLowering::Fused;
    AttentionLowering attention = AttentionLowering::Chunked;
    LayoutCopies layoutCopies = LayoutCopies::Off;
    bool holdInputs = false; // of blocks, by their callers
    LoadPolicy load = LoadPolicy::Decoder;
    ApplyPolicy apply = ApplyPolicy::Stream;
    std::uint64_t residentText = 0, residentTransformer = 0; // bytes
    Offload offload = Offload::BeforeLoad;
    TileChoice tile;
    std::uint64_t overlap = 64; // of tiles, in output pixels
    std::uint64_t tilesInFlight = 1;
    TileArrangement tileGrid = TileArrangement::Even;
    Blend blend = Blend::Linear;
    TileNorm tileNorm = TileNorm::Auto;
    TileAttention tileAttention = TileAttention::Auto;
    Spill spill = Spill::Device;
    AllocatorPolicy allocator = AllocatorPolicy::Auto;
    std::uint64_t cacheLimitBytes = 0; // of AllocatorPolicy::CacheLimit
    std::string device;                // index, part of a name, or cpu; empty: the first GPU, else the CPU device
    std::optional<std::uint64_t> budgetBytes;
    bool enforce = false; // the heap refuses beyond the budget

    bool isTiled() const { return tile.kind != TileChoice::Kind::Off; }
    // Stripes whose norms share their statistics: bands of one picture. All else that is tiled are tiles of their own.
    bool isStriped() const;
    // Bands make the same picture as no tiles, unless their attention sees no more than the band.
    bool isExactlyTiled() const;
    DType weightType() const { return weightsDtype.value_or(activations); }
    AllocatorPolicy allocatorPolicy() const;            // Auto resolved
    std::uint64_t cacheLimit() const;                   // bytes; of Auto the default
    EvaluatePolicy::At evaluateAt() const;              // Auto resolved
    std::optional<std::uint64_t> syntheticSeed() const; // empty: `weights` is a file
};

// Of allocator auto under lifetime lazy.
constexpr std::uint64_t defaultCacheLimit = std::uint64_t{1} << 30;

// What is decoded where nothing else is said: the model and size that `Controls` leaves open, too.
Controls defaultControls();

struct ControlInfo {
    std::string_view name;
    std::string_view group;                         // heading of the window's panel
    std::string_view help;                          // what it does, one line
    std::string values;                             // what it takes, for help
    std::vector<std::string_view> suggestions = {}; // values that the window offers
    std::vector<std::string_view> flips = {};       // values that advice tries
    bool isEditable = false;                        // takes more than the suggestions
    bool isSubject = false; // says what is run and where, not how: differs from its default without being marked
    Result<void> (*set)(Controls&, std::string_view text) = nullptr;
    std::string (*get)(const Controls&) = nullptr;
};

std::span<const ControlInfo> controlTable();
// Refuses unknown names and values with what is allowed.
Result<void> setControl(Controls& controls, std::string_view name, std::string_view value);
// Refuses combinations that contradict each other.
Result<void> checkControls(const Controls& controls);
// The value of one control as setControl() takes it; nothing for an unknown name.
std::optional<std::string> controlValue(const Controls& controls, std::string_view name);
// All controls with their values, in the table's order.
std::vector<std::pair<std::string, std::string>> controlValues(const Controls& controls);
std::optional<std::uint64_t> parseInteger(std::string_view text); // of decimal digits alone
// "WIDTHxHEIGHT", each 1 to 65536 pixels.
std::optional<Sides> parseSides(std::string_view text);
// The same, or one number for both.
std::optional<Sides> parseTileSides(std::string_view text);
// GiB with a decimal point to bytes; `what` is named in refusals.
Result<std::uint64_t> parseGiB(std::string_view what, std::string_view text);

} // namespace spikescope
