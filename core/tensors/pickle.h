#pragma once
// Python's pickle format, protocols 2 to 5, as data alone: None, bool, int, float, str, bytes, list, tuple and dict.
// Opcodes are on a list of allowed ones; whatever imports, calls or builds something is refused by its name, or, where
// that is asked for, written down as data: what would have been called, and with what. Nothing is ever imported, called
// or built. What is shared in the file is shared here, so a small file never becomes a large value.

#include "core/base/error.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spikescope {

class Pickle {
public:
    // Global: module and name of a class or function. Call: what would be called, its arguments as a tuple, then what
    // was added to the result, as the elements of a list or the keys and values of a dict. Reference: the object's key
    // outside of the pickle. They appear only with Objects::AsData.
    enum class Kind : std::uint8_t { None, Bool, Int, Float, Text, Bytes, List, Tuple, Dict, Global, Call, Reference };
    enum class Objects : std::uint8_t { Refused, AsData };
    struct Value {
        Kind kind = Kind::None;
        std::uint32_t container = 0; // of what has elements
        std::uint64_t bits = 0;   // of Bool and Int the number, of Float its bits, of Text and Bytes where they begin
        std::uint64_t length = 0; // of Text and Bytes
    };

    // At most this many stack entries, values in containers and the memo, and containers, whatever the file's size. A
    // million events with their frames have about 20 million values in 2 million containers.
    static constexpr std::size_t deepestStack = 1 << 16, mostValues = std::size_t{64} << 20,
                                 mostContainers = std::size_t{8} << 20;
    static constexpr std::uint64_t largestFile = std::uint64_t{1} << 30;

    // BadInput names the file, the offset and the opcode. The bytes must outlive the Pickle. As data a set is a list,
    // an integer beyond 64 bits is None, and the state that BUILD would give to an object is dropped.
    static Result<Pickle> parse(std::span<const std::byte> bytes, std::string fileName,
                                Objects objects = Objects::Refused);

    const Value& root() const { return m_root; }
    // Elements of a list or tuple; of a dict keys and values by turns; the parts of a Global, Call or Reference. Empty
    // for everything else.
    std::span<const Value> items(const Value& value) const;
    std::string_view text(const Value& value) const;               // of Text and Bytes
    std::size_t containers() const { return m_containers.size(); } // Value::container is less
    const std::string& fileName() const { return m_name; }
    std::uint64_t fileBytes() const { return m_bytes.size(); }

private:
    friend class PickleReader;
    Pickle(std::span<const std::byte> bytes, std::string name)
        : m_bytes(bytes)
        , m_name(std::move(name)) {}

    std::span<const std::byte> m_bytes;
    std::string m_name;
    std::vector<std::vector<Value>> m_containers;
    Value m_root;
};

} // namespace spikescope
