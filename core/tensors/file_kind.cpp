#include "core/tensors/file_kind.h"

#include "core/tensors/npy.h"
#include "core/tensors/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace spikescope {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view blanks = " \t\r\n";

struct Mark {
    std::string_view begin, description;
};
// Content that its first bytes tell by themselves.
constexpr std::array marks{
    Mark{"GGUF"sv, "is a GGUF file, which holds quantised models; take the .safetensors file of the model"},
    Mark{"\x1f\x8b\x08"sv, "is compressed with gzip; unpack it first (gunzip)"},
    Mark{"\xfd"
         "7zXZ\0"sv,
         "is compressed with xz; unpack it first (unxz)"},
    Mark{"\x28\xb5\x2f\xfd"sv, "is compressed with Zstandard; unpack it first (unzstd)"},
    Mark{"7z\xbc\xaf\x27\x1c"sv, "is a 7z archive; unpack it first"},
    Mark{"Rar!\x1a\x07"sv, "is a RAR archive; unpack it first"},
    Mark{"\x89PNG\r\n\x1a\n"sv, "is a PNG picture, not a file of tensors"},
    Mark{"\xff\xd8\xff"sv, "is a JPEG picture, not a file of tensors"},
    Mark{"\x89HDF\r\n\x1a\n"sv, "is an HDF5 file; convert the model to .safetensors"},
    Mark{"%PDF-"sv, "is a PDF document, not a file of tensors"},
    // A pickled integer, 0x1950a86a20f9469cfc6c.
    Mark{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv,
         "is a PyTorch file of the format before version 1.6; load it in PyTorch and save it again, best as "
         ".safetensors"},
};

bool startsWithoutCase(std::string_view text, std::string_view lower) {
    return text.size() >= lower.size() && std::ranges::equal(text.substr(0, lower.size()), lower, {}, [](char c) {
               return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
           });
}

std::string_view withoutBlanks(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text;
}

std::optional<std::string> lfsPointer(std::string_view text) {
    if (!text.starts_with("version https://git-lfs.github.com/spec/")) return std::nullopt;
    constexpr std::string_view field = "\nsize ";
    const std::size_t at = text.find(field);
    std::string_view digits = at == std::string_view::npos ? ""sv : text.substr(at + field.size());
    digits = digits.substr(0, digits.find_first_not_of("0123456789"));
    if (digits.empty() || digits.size() > 20)
        return "is a Git LFS pointer; the file itself was not fetched (git lfs pull)";
    return fmt::format("is a Git LFS pointer; its {} bytes were not fetched (git lfs pull)", digits);
}

std::optional<std::string> document(std::string_view text, std::string_view path) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    text = withoutBlanks(text);
    for (const std::string_view tag : {"<!doctype html", "<html", "<head", "<body"})
        if (startsWithoutCase(text, tag))
            return "is an HTML page, which a web server sent instead of the file; download the file itself";
    if (startsWithoutCase(text, "<?xml"))
        return "is an XML document, perhaps a web server's error message; download the file itself";
    if (text.empty() || (text.front() != '{' && text.front() != '[')) return std::nullopt;
    const std::string_view next = withoutBlanks(text.substr(1));
    const bool json = text.front() == '{' ? next.starts_with('"') || next.starts_with('}')
                                          : !next.empty() && "\"{[]-0123456789tfn"sv.find(next.front()) != next.npos;
    if (!json) return std::nullopt;
    if (path.ends_with(".index.json") || text.find("\"weight_map\"") != text.npos)
        return "is the JSON index of a model in several files, not a file of tensors itself";
    return "is a JSON file, not a file of tensors";
}

// Of a zip archive's first entry.
std::string_view firstName(std::string_view text) {
    constexpr std::size_t lengthAt = 26, nameAt = 30;
    if (text.size() < nameAt) return {};
    std::uint16_t length = 0;
    std::memcpy(&length, text.data() + lengthAt, sizeof length);
    return text.substr(nameAt, length);
}

} // namespace

bool looksLikeSafetensors(std::span<const std::byte> begin) {
    if (begin.size() <= 8 || begin[8] != std::byte{'{'}) return false;
    std::uint64_t length = 0;
    std::memcpy(&length, begin.data(), sizeof length);
    return length <= longestSafetensorsHeader;
}

std::optional<std::string> describeForeign(std::span<const std::byte> begin, std::uint64_t size,
                                           std::string_view path) {
    if (size == 0) return "is empty (0 bytes); fetch it again";
    if (looksLikeSafetensors(begin) || looksLikeNpy(begin)) return std::nullopt;
    const std::string_view text(reinterpret_cast<const char*>(begin.data()), begin.size());
    for (const Mark& mark : marks)
        if (text.starts_with(mark.begin)) return std::string(mark.description);
    if (text.starts_with("RIFF") && text.substr(0, 12).ends_with("WEBP"))
        return "is a WebP picture, not a file of tensors";
    if (text.starts_with("PK\x03\x04") || text.starts_with("PK\x05\x06")) {
        const std::string_view name = firstName(text);
        if (name.ends_with("data.pkl")) return "is a PyTorch file";
        if (name.ends_with(".npy")) return "is a NumPy .npz file";
        return "is a zip archive; unpack it first";
    }
    if (text.size() > 262 && text.substr(257, 5) == "ustar") return "is a tar archive; unpack it first";
    if (auto pointer = lfsPointer(text)) return pointer;
    if (auto described = document(text, path)) return described;
    // PROTO, the protocol, and an opcode that begins a value.
    if (text.size() > 2 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5 &&
        "\x95}](cX\x8c\x8a"sv.find(text[2]) != text.npos)
        return "is a Python pickle, but no PyTorch file of tensors";
    if (text.size() >= 16 && text.find_first_not_of('\0') == text.npos)
        return "begins with zeros alone, as an unfinished download does; download it again";
    return std::nullopt;
}

std::string hexBytes(std::span<const std::byte> begin) {
    std::string out;
    for (const std::byte value : begin.first(std::min<std::size_t>(begin.size(), 8)))
        out += fmt::format("{}{:02x}", out.empty() ? "" : " ", std::to_integer<unsigned>(value));
    return out;
}

} // namespace spikescope
