#include "core/tensors/zip.h"

#include "core/base/text.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

namespace spikescope {

namespace {

constexpr std::size_t endBytes = 22, longestComment = 65535, locatorBytes = 20, end64Bytes = 56, centralBytes = 46,
                      localBytes = 30;
constexpr std::uint32_t endMark = 0x06054b50, locatorMark = 0x07064b50, end64Mark = 0x06064b50,
                        centralMark = 0x02014b50, localMark = 0x04034b50;
constexpr std::uint16_t storedMethod = 0, deflateMethod = 8, none16 = 0xffff;
constexpr std::uint32_t none32 = 0xffffffff;
// Deflate writes at least one byte for this many.
constexpr std::uint64_t bestRatio = 1032;

template <class T> T at(std::span<const std::byte> bytes, std::uint64_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

// Whether [offset, offset + bytes) lies within [0, size).
bool within(std::uint64_t offset, std::uint64_t bytes, std::uint64_t size) {
    return offset <= size && bytes <= size - offset;
}

// Where the record at the archive's end begins: the last place whose comment ends with the file.
std::optional<std::uint64_t> findEnd(std::span<const std::byte> bytes) {
    if (bytes.size() < endBytes) return std::nullopt;
    const std::uint64_t last = bytes.size() - endBytes, first = last > longestComment ? last - longestComment : 0;
    for (std::uint64_t i = last + 1; i-- > first;)
        if (at<std::uint32_t>(bytes, i) == endMark && at<std::uint16_t>(bytes, i + 20) == last - i) return i;
    return std::nullopt;
}

// Sizes beyond 32 bits stand in this extra field, each only where its 32 bits are all ones.
bool readZip64(std::span<const std::byte> extra, std::uint64_t& size, std::uint64_t& compressed,
               std::uint64_t& header) {
    while (extra.size() >= 4) {
        const auto id = at<std::uint16_t>(extra, 0), length = at<std::uint16_t>(extra, 2);
        if (length > extra.size() - 4) return false;
        if (id == 1) {
            std::span<const std::byte> field = extra.subspan(4, length);
            for (std::uint64_t* value : {&size, &compressed, &header}) {
                if (*value != none32) continue;
                if (field.size() < 8) return false;
                *value = at<std::uint64_t>(field, 0);
                field = field.subspan(8);
            }
            return true;
        }
        extra = extra.subspan(4 + length);
    }
    return true;
}

} // namespace

bool looksLikeZip(std::span<const std::byte> begin) {
    if (begin.size() < 4) return false;
    const auto mark = at<std::uint32_t>(begin, 0);
    return mark == localMark || mark == endMark;
}

Result<Zip> Zip::parse(std::span<const std::byte> bytes, std::string fileName) {
    Zip zip(bytes, std::move(fileName));
    CHECK(zip.readDirectory());
    CHECK(zip.checkPlaces());
    if (const auto twin = zip.m_byName.build(zip.m_entries))
        return fail(ErrorCode::BadInput, "{}: has zip entry {} twice.", quote(zip.m_fileName), quote(*twin));
    return zip;
}

Result<void> Zip::readDirectory() {
    const std::string file = quote(m_fileName);
    const auto end = findEnd(m_bytes);
    if (!end)
        return fail(ErrorCode::BadInput,
                    "{}: is an incomplete zip archive (as PyTorch and NumPy write): after {} bytes its directory is "
                    "missing; download it again.",
                    file, m_bytes.size());
    std::uint64_t disk = at<std::uint16_t>(m_bytes, *end + 4), count = at<std::uint16_t>(m_bytes, *end + 10),
                  size = at<std::uint32_t>(m_bytes, *end + 12);
    m_directory = at<std::uint32_t>(m_bytes, *end + 16);
    std::uint64_t before = *end; // the directory ends here or earlier
    if (*end >= locatorBytes && at<std::uint32_t>(m_bytes, *end - locatorBytes) == locatorMark) {
        const auto place = at<std::uint64_t>(m_bytes, *end - locatorBytes + 8);
        if (!within(place, end64Bytes, *end - locatorBytes) || at<std::uint32_t>(m_bytes, place) != end64Mark)
            return fail(ErrorCode::BadInput, "{}: has no 64-bit zip directory at byte {}.", file, place);
        disk = at<std::uint32_t>(m_bytes, place + 16);
        count = at<std::uint64_t>(m_bytes, place + 32);
        size = at<std::uint64_t>(m_bytes, place + 40);
        m_directory = at<std::uint64_t>(m_bytes, place + 48);
        before = place;
    }
    if (disk != 0 && disk != none16 && disk != none32)
        return fail(ErrorCode::BadInput, "{}: is the last of {} volumes of a zip archive.", file, disk + 1);
    if (count > mostEntries)
        return fail(ErrorCode::BadInput, "{}: has {} zip entries; the most is {}.", file, count, mostEntries);
    if (!within(m_directory, size, before))
        return fail(ErrorCode::BadInput, "{}: says its zip directory lies at bytes {} to {}+{}, but it ends at {}.",
                    file, m_directory, m_directory, size, before);
    std::span<const std::byte> rest = m_bytes.subspan(m_directory, size);
    for (std::uint64_t i = 0; i < count; ++i) {
        if (rest.size() < centralBytes || at<std::uint32_t>(rest, 0) != centralMark)
            return fail(ErrorCode::BadInput, "{}: its zip directory breaks off at entry {} of {}.", file, i, count);
        const std::uint64_t nameBytes = at<std::uint16_t>(rest, 28), extraBytes = at<std::uint16_t>(rest, 30),
                            commentBytes = at<std::uint16_t>(rest, 32);
        if (nameBytes + extraBytes + commentBytes > rest.size() - centralBytes)
            return fail(ErrorCode::BadInput, "{}: its zip directory breaks off at entry {} of {}.", file, i, count);
        Entry entry{.name = std::string(reinterpret_cast<const char*>(rest.data()) + centralBytes, nameBytes),
                    .compressed = at<std::uint32_t>(rest, 20),
                    .size = at<std::uint32_t>(rest, 24),
                    .crc = at<std::uint32_t>(rest, 16),
                    .method = at<std::uint16_t>(rest, 10),
                    .encrypted = (at<std::uint16_t>(rest, 8) & 1u) != 0};
        std::uint64_t header = at<std::uint32_t>(rest, 42);
        if (!readZip64(rest.subspan(centralBytes + nameBytes, extraBytes), entry.size, entry.compressed, header))
            return fail(ErrorCode::BadInput, "{}: zip entry {} has a broken extra field.", file, quote(entry.name));
        rest = rest.subspan(centralBytes + nameBytes + extraBytes + commentBytes);

        if (!within(header, localBytes, m_directory) || at<std::uint32_t>(m_bytes, header) != localMark)
            return fail(ErrorCode::BadInput, "{}: zip entry {} is not at byte {}, where the directory says it is.",
                        file, quote(entry.name), header);
        entry.offset =
            header + localBytes + at<std::uint16_t>(m_bytes, header + 26) + at<std::uint16_t>(m_bytes, header + 28);
        if (!within(entry.offset, entry.compressed, m_directory))
            return fail(ErrorCode::BadInput, "{}: zip entry {} has {} bytes from byte {}, but the entries end at {}.",
                        file, quote(entry.name), entry.compressed, entry.offset, m_directory);
        if (entry.method == storedMethod && entry.size != entry.compressed)
            return fail(ErrorCode::BadInput, "{}: zip entry {} has {} bytes, but {} of them are stored.", file,
                        quote(entry.name), entry.size, entry.compressed);
        m_headers.push_back(header);
        m_entries.push_back(std::move(entry));
    }
    return {};
}

Result<void> Zip::checkPlaces() const {
    std::vector<std::uint32_t> order(m_entries.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::sort(order, {}, [&](std::uint32_t i) { return m_headers[i]; });
    for (std::size_t i = 1; i < order.size(); ++i) {
        const Entry &previous = m_entries[order[i - 1]], &entry = m_entries[order[i]];
        if (m_headers[order[i]] < previous.offset + previous.compressed)
            return fail(ErrorCode::BadInput, "{}: zip entry {} begins at byte {}, inside entry {}, which ends at {}.",
                        quote(m_fileName), quote(entry.name), m_headers[order[i]], quote(previous.name),
                        previous.offset + previous.compressed);
    }
    return {};
}

const Zip::Entry* Zip::find(std::string_view name) const { return m_byName.find(m_entries, name); }

Result<std::span<const std::byte>> Zip::stored(const Entry& entry) const {
    if (entry.encrypted)
        return fail(ErrorCode::BadInput, "{}: zip entry {} is encrypted.", quote(m_fileName), quote(entry.name));
    if (entry.method != storedMethod)
        return fail(ErrorCode::BadInput,
                    "{}: zip entry {} is compressed (method {}), which PyTorch does not do; save it again.",
                    quote(m_fileName), quote(entry.name), entry.method);
    return m_bytes.subspan(entry.offset, entry.size);
}

Result<std::vector<std::byte>> Zip::inflated(const Entry& entry, std::uint64_t most) const {
    const auto bad = [&](std::string_view what) {
        return fail(ErrorCode::BadInput, "{}: zip entry {} {}.", quote(m_fileName), quote(entry.name), what);
    };
    if (entry.encrypted) return bad("is encrypted");
    if (entry.method != deflateMethod)
        return bad(fmt::format("is compressed with method {}; only deflate ({}) is read", entry.method, deflateMethod));
    if (entry.size > most) return bad(fmt::format("has {} bytes; at most {} are unpacked", entry.size, most));
    if (entry.size / bestRatio > entry.compressed)
        return bad(fmt::format("says its {} bytes become {}, more than deflate can do", entry.compressed, entry.size));
    std::vector<std::byte> content(entry.size);
    z_stream stream = {};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return bad("cannot be unpacked: no memory");
    // The library counts in 32 bits, and never writes to its input.
    constexpr std::uint64_t step = std::uint64_t{1} << 30;
    std::uint64_t from = 0, to = 0;
    Bytef nothing = 0;
    int state = Z_OK;
    while (state == Z_OK) {
        const std::uint64_t in = std::min(entry.compressed - from, step), out = std::min(entry.size - to, step);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(m_bytes.data() + entry.offset + from));
        stream.avail_in = static_cast<uInt>(in);
        stream.next_out = out > 0 ? reinterpret_cast<Bytef*>(content.data() + to) : &nothing;
        stream.avail_out = static_cast<uInt>(out);
        state = ::inflate(&stream, Z_NO_FLUSH);
        from += in - stream.avail_in;
        to += out - stream.avail_out;
    }
    inflateEnd(&stream);
    if (state != Z_STREAM_END || to != entry.size || from != entry.compressed)
        return bad(fmt::format("cannot be unpacked: byte {} of {}, after {} of {} bytes", from, entry.compressed, to,
                               entry.size));
    const auto sum = crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size());
    if (sum != entry.crc) return bad(fmt::format("has the checksum {:08x} instead of {:08x}", sum, entry.crc));
    return content;
}

} // namespace spikescope
