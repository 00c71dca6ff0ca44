#pragma once
// Zip archives and files of torch.save() byte by byte, so that broken ones can be written, too.

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <zlib.h>

namespace spikescope {

template <class T> std::string littleEndian(T value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }
template <class T> std::string rawBytes(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

struct ZipWriter {
    struct Entry {
        std::string name, content;
        bool deflate = false;
        std::uint16_t flags = 0;
        // What the directory says instead of the truth.
        std::int64_t sizeLie = 0, offsetLie = 0;
    };
    std::vector<Entry> entries;
    bool zip64 = false;

    void add(std::string name, std::string content, bool deflate = false) {
        entries.push_back({.name = std::move(name), .content = std::move(content), .deflate = deflate});
    }

    std::string finish() const {
        std::string out, directory;
        for (const Entry& entry : entries) {
            const std::string stored = entry.deflate ? deflated(entry.content) : entry.content;
            const auto sum = static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(entry.content.data()),
                                                              static_cast<uInt>(entry.content.size())));
            const std::uint64_t size = entry.content.size() + static_cast<std::uint64_t>(entry.sizeLie),
                                packed = entry.deflate ? stored.size() : size,
                                header = out.size() + static_cast<std::uint64_t>(entry.offsetLie);
            const auto field = [&](std::uint64_t value) {
                return littleEndian(zip64 ? 0xffffffffu : static_cast<std::uint32_t>(value));
            };
            const std::string common = littleEndian<std::uint16_t>(entry.flags) +
                                       littleEndian<std::uint16_t>(entry.deflate ? 8 : 0) + littleEndian(0u) +
                                       littleEndian(sum) + field(packed) + field(size) +
                                       littleEndian(static_cast<std::uint16_t>(entry.name.size()));
            std::string extra;
            if (zip64)
                extra = littleEndian<std::uint16_t>(1) + littleEndian<std::uint16_t>(24) + littleEndian(size) +
                        littleEndian(packed) + littleEndian(header);
            // PyTorch pads with an extra field, so that tensors begin at multiples of 64 bytes.
            const std::string padding = "FB" + littleEndian<std::uint16_t>(5) + "ZZZZZ";
            out += "PK\x03\x04" + littleEndian<std::uint16_t>(20) + common +
                   littleEndian(static_cast<std::uint16_t>(padding.size())) + entry.name + padding + stored;
            directory += "PK\x01\x02" + littleEndian<std::uint16_t>(20) + littleEndian<std::uint16_t>(20) + common +
                         littleEndian(static_cast<std::uint16_t>(extra.size())) + std::string(10, '\0') +
                         field(header) + entry.name + extra;
        }
        const std::uint64_t at = out.size(), size = directory.size(), count = entries.size();
        out += directory;
        if (zip64) {
            const std::uint64_t end = out.size();
            out += "PK\x06\x06" + littleEndian(std::uint64_t{44}) + littleEndian(0u) + littleEndian(std::uint64_t{0}) +
                   littleEndian(count) + littleEndian(count) + littleEndian(size) + littleEndian(at);
            out += "PK\x06\x07" + littleEndian(0u) + littleEndian(end) + littleEndian(1u);
        }
        const auto few = [&](std::uint64_t value) {
            return littleEndian(static_cast<std::uint16_t>(zip64 ? 0xffff : value));
        };
        const auto many = [&](std::uint64_t value) {
            return littleEndian(static_cast<std::uint32_t>(zip64 ? 0xffffffff : value));
        };
        return out + "PK\x05\x06" + littleEndian(0u) + few(count) + few(count) + many(size) + many(at) +
               littleEndian<std::uint16_t>(0);
    }

    static std::string deflated(const std::string& content) {
        z_stream stream = {};
        deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
        std::string out(deflateBound(&stream, static_cast<uLong>(content.size())), '\0');
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
        stream.avail_in = static_cast<uInt>(content.size());
        stream.next_out = reinterpret_cast<Bytef*>(out.data());
        stream.avail_out = static_cast<uInt>(out.size());
        deflate(&stream, Z_FINISH);
        out.resize(out.size() - stream.avail_out);
        deflateEnd(&stream);
        return out;
    }
};

// Parts of a pickle of protocol 2, as torch.save() writes it.
namespace pickled {

inline std::string text(const std::string& value) {
    return "X" + littleEndian(static_cast<std::uint32_t>(value.size())) + value;
}
inline std::string integer(std::int64_t value) {
    if (value >= INT32_MIN && value <= INT32_MAX) return "J" + littleEndian(static_cast<std::int32_t>(value));
    return "\x8a\x08" + littleEndian(value);
}
inline std::string global(const std::string& module, const std::string& name) {
    return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<std::int64_t>& values) {
    std::string out = "(";
    for (const std::int64_t value : values) out += integer(value);
    return out + "t";
}
// A dict's items, each of a key and a pickled value.
using Items = std::vector<std::pair<std::string, std::string>>;
inline std::string filled(std::string container, const Items& items) {
    container += "(";
    for (const auto& [key, value] : items) container += text(key) + value;
    return container + "u";
}
inline std::string dict(const Items& items) { return filled("}", items); }
inline std::string orderedDict(const Items& items) {
    return filled(global("collections", "OrderedDict") + ")R", items);
}

struct Tensor {
    std::string storage = "FloatStorage"; // of module torch
    std::string key = "0";
    std::int64_t storageElements = 0;
    std::vector<std::int64_t> shape, strides;
    std::int64_t offset = 0;
};
inline std::string storage(const Tensor& tensor, const std::string& module = "torch") {
    return "(" + text("storage") + global(module, tensor.storage) + text(tensor.key) + text("cpu") +
           integer(tensor.storageElements) + "tQ";
}
inline std::string tensor(const Tensor& t) {
    return global("torch._utils", "_rebuild_tensor_v2") + "(" + storage(t) + integer(t.offset) + tuple(t.shape) +
           tuple(t.strides) + "\x89" + orderedDict({}) + "tR";
}
// What newer formats, fp8 among them, are written as.
inline std::string tensorOfBytes(const Tensor& t, const std::string& dtype) {
    return global("torch._utils", "_rebuild_tensor_v3") + "(" + storage(t, "torch.storage") + integer(t.offset) +
           tuple(t.shape) + tuple(t.strides) + "\x89" + orderedDict({}) + global("torch", dtype) + "tR";
}
inline std::string parameter(const std::string& tensor) {
    return global("torch._utils", "_rebuild_parameter") + "(" + tensor + "\x88" + orderedDict({}) + "tR";
}
inline std::string whole(const std::string& value) { return "\x80\x02" + value + "."; }

} // namespace pickled

// The archive that torch.save() writes; storages by their keys.
inline ZipWriter torchArchive(const std::string& value, const pickled::Items& storages,
                              const std::string& folder = "archive") {
    ZipWriter zip;
    zip.add(folder + "/data.pkl", pickled::whole(value));
    zip.add(folder + "/.format_version", "1");
    zip.add(folder + "/byteorder", "little");
    for (const auto& [key, bytes] : storages) zip.add(folder + "/data/" + key, bytes);
    zip.add(folder + "/version", "3\n");
    return zip;
}

} // namespace spikescope
