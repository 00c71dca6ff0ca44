#pragma once
// Says what a file is that is not what was wanted, from its first bytes, and what to do about it.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace spikescope {

// Enough first bytes for describeForeign().
inline constexpr std::size_t foreignBeginBytes = 1024;

// A predicate with its remedy and without a full stop: "is a Git LFS pointer; its 167335342 bytes were not fetched (git
// lfs pull)". Nothing for what it does not know, and for what begins as a .safetensors or .npy file does. `begin` is
// the file's first bytes, `size` its length; of the path only the suffix counts.
std::optional<std::string> describeForeign(std::span<const std::byte> begin, std::uint64_t size, std::string_view path);

// The header's length at the file's start, and '{' after it: no other kind of file begins so.
bool looksLikeSafetensors(std::span<const std::byte> begin);

// "7b 22 61 62", at most 8 of them.
std::string hexBytes(std::span<const std::byte> begin);

} // namespace spikescope
