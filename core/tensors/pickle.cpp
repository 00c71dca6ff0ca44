#include "core/tensors/pickle.h"

#include "core/base/text.h"

#include <algorithm>
#include <array>

namespace spikescope {

namespace {

using Value = Pickle::Value;
using Kind = Pickle::Kind;

struct Refused {
    std::uint8_t opcode;
    std::string_view name;
};
// They import, call or build, ask for data from elsewhere, or stand in pickles of earlier protocols.
constexpr std::array refused{
    Refused{'c', "GLOBAL"},     Refused{0x93, "STACK_GLOBAL"}, Refused{'R', "REDUCE"},
    Refused{'b', "BUILD"},      Refused{'i', "INST"},          Refused{'o', "OBJ"},
    Refused{0x81, "NEWOBJ"},    Refused{0x92, "NEWOBJ_EX"},    Refused{'P', "PERSID"},
    Refused{'Q', "BINPERSID"},  Refused{0x82, "EXT1"},         Refused{0x83, "EXT2"},
    Refused{0x84, "EXT4"},      Refused{0x97, "NEXT_BUFFER"},  Refused{0x98, "READONLY_BUFFER"},
    Refused{0x8f, "EMPTY_SET"}, Refused{0x90, "ADDITEMS"},     Refused{0x91, "FROZENSET"},
    Refused{'I', "INT"},        Refused{'L', "LONG"},          Refused{'F', "FLOAT"},
    Refused{'S', "STRING"},     Refused{'V', "UNICODE"},       Refused{'g', "GET"},
    Refused{'p', "PUT"},        Refused{'d', "DICT"},          Refused{'l', "LIST"}};

} // namespace

class PickleReader {
public:
    PickleReader(Pickle& pickle, Pickle::Objects objects)
        : m_pickle(pickle)
        , m_bytes(pickle.m_bytes)
        , m_objects(objects) {}

    Result<void> read() {
        if (m_bytes.size() < 2 || byteAt(0) != 0x80) return wrong("does not begin as a pickle of protocol 2 or later");
        while (m_at < m_bytes.size()) {
            m_opcodeAt = m_at;
            const std::uint8_t opcode = byteAt(m_at++);
            if (opcode == '.') return stop();
            CHECK(step(opcode));
            if (m_stack.size() > Pickle::deepestStack)
                return wrong("more than {} values wait on the stack", Pickle::deepestStack);
            if (m_values > Pickle::mostValues) return wrong("more than {} values", Pickle::mostValues);
            if (m_pickle.m_containers.size() > Pickle::mostContainers)
                return wrong("more than {} lists, tuples and dicts", Pickle::mostContainers);
        }
        return wrong("ends without STOP");
    }

private:
    template <class... Args> tl::unexpected<Error> wrong(fmt::format_string<Args...> text, Args&&... args) const {
        return fail(ErrorCode::BadInput, "file {}, byte {}: {}", quote(m_pickle.m_name), m_opcodeAt,
                    fmt::format(text, std::forward<Args>(args)...));
    }
    std::uint8_t byteAt(std::size_t at) const { return std::to_integer<std::uint8_t>(m_bytes[at]); }

    Result<std::uint64_t> number(std::size_t size) {
        if (m_bytes.size() - m_at < size) return wrong("the file ends inside of opcode {:#04x}", byteAt(m_opcodeAt));
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t{byteAt(m_at + i)} << 8 * i;
        m_at += size;
        return value;
    }

    void push(Value value) { m_stack.push_back(value); }
    Result<Value> pop() {
        if (m_stack.size() <= bottom()) return wrong("opcode {:#04x} finds nothing on the stack", byteAt(m_opcodeAt));
        const Value value = m_stack.back();
        m_stack.pop_back();
        return value;
    }
    std::size_t bottom() const { return m_marks.empty() ? 0 : m_marks.back(); }
    // What stands above the last mark, which goes.
    Result<std::vector<Value>> popToMark() {
        if (m_marks.empty()) return wrong("opcode {:#04x} finds no mark", byteAt(m_opcodeAt));
        std::vector<Value> values(m_stack.begin() + static_cast<std::ptrdiff_t>(m_marks.back()), m_stack.end());
        m_stack.resize(m_marks.back());
        m_marks.pop_back();
        return values;
    }
    void pushContainer(Kind kind, std::vector<Value> values) {
        m_values += values.size();
        m_pickle.m_containers.push_back(std::move(values));
        push({.kind = kind, .container = static_cast<std::uint32_t>(m_pickle.m_containers.size() - 1)});
    }
    Result<void> tuple(std::size_t size) {
        std::vector<Value> values(size);
        for (std::size_t i = size; i-- > 0;) {
            TRY(values[i], pop());
        }
        pushContainer(Kind::Tuple, std::move(values));
        return {};
    }
    Result<void> append(std::span<const Value> values, Kind kind) {
        if (m_stack.size() <= bottom() || (m_stack.back().kind != kind && m_stack.back().kind != Kind::Call))
            return wrong("opcode {:#04x} finds no {} to add to", byteAt(m_opcodeAt),
                         kind == Kind::List ? "list" : "dict");
        if (kind == Kind::Dict && values.size() % 2 != 0) return wrong("a key without a value");
        std::vector<Value>& items = m_pickle.m_containers[m_stack.back().container];
        items.insert(items.end(), values.begin(), values.end());
        m_values += values.size();
        return {};
    }
    Result<void> remember(std::uint64_t index) {
        if (m_stack.size() <= bottom()) return wrong("nothing to remember");
        // Picklers number what they remember one by one.
        if (index > m_memo.size()) return wrong("remembers number {} after {}", index, m_memo.size());
        if (index == m_memo.size()) {
            m_memo.push_back(m_stack.back());
            ++m_values;
        } else {
            m_memo[index] = m_stack.back();
        }
        return {};
    }
    Result<void> recall(std::uint64_t index) {
        if (index >= m_memo.size()) return wrong("recalls number {}, but {} were remembered", index, m_memo.size());
        push(m_memo[index]);
        return {};
    }
    Result<void> text(Kind kind, std::size_t lengthBytes) {
        TRY(const std::uint64_t length, number(lengthBytes));
        if (length > m_bytes.size() - m_at)
            return wrong("a text of {} bytes, but {} are left", length, m_bytes.size() - m_at);
        push({.kind = kind, .bits = m_at, .length = length});
        m_at += length;
        return {};
    }
    // Little-endian two's complement of any length; up to 64 bits are taken.
    Result<void> longInteger(std::size_t lengthBytes) {
        TRY(const std::uint64_t length, number(lengthBytes));
        if (length > 9 && m_objects == Pickle::Objects::AsData && length <= m_bytes.size() - m_at) {
            m_at += length;
            push({});
            return {};
        }
        if (length > 9) return wrong("an integer of {} bytes; at most 8 and a sign are possible", length);
        if (length == 0) {
            push({.kind = Kind::Int});
            return {};
        }
        TRY(std::uint64_t bits, number(std::min<std::size_t>(length, 8)));
        const bool negative = (byteAt(m_at - 1) & 0x80u) != 0;
        if (length == 9) {
            TRY(const std::uint64_t sign, number(1));
            if (sign != 0) return wrong("an integer beyond 64 bits");
        } else if (negative && length < 8) {
            bits |= ~std::uint64_t{0} << 8 * length;
        }
        push({.kind = Kind::Int, .bits = bits});
        return {};
    }
    Result<void> integer(std::size_t size, bool isSigned) {
        TRY(std::uint64_t bits, number(size));
        if (isSigned) bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(bits)));
        push({.kind = Kind::Int, .bits = bits});
        return {};
    }

    Result<void> step(std::uint8_t opcode) {
        switch (opcode) {
        case 0x80: { // PROTO
            TRY(const std::uint64_t protocol, number(1));
            if (m_opcodeAt != 0 || protocol < 2 || protocol > 5) return wrong("protocol {}; 2 to 5 are read", protocol);
            return {};
        }
        case 0x95: { // FRAME: a hint for readers that buffer
            TRY(const std::uint64_t bytes, number(8));
            if (bytes > m_bytes.size() - m_at)
                return wrong("a frame of {} bytes, but {} are left", bytes, m_bytes.size() - m_at);
            return {};
        }
        case '(': m_marks.push_back(m_stack.size()); return marksInBounds();
        case 'N': push({}); return {};
        case 0x88: push({.kind = Kind::Bool, .bits = 1}); return {};
        case 0x89: push({.kind = Kind::Bool}); return {};
        case 'J': return integer(4, true);
        case 'K': return integer(1, false);
        case 'M': return integer(2, false);
        case 0x8a: return longInteger(1);
        case 0x8b: return longInteger(4);
        case 'G': { // big-endian
            TRY(const std::uint64_t bits, number(8));
            push({.kind = Kind::Float, .bits = __builtin_bswap64(bits)});
            return {};
        }
        case 0x8c: return text(Kind::Text, 1);
        case 'X': return text(Kind::Text, 4);
        case 0x8d: return text(Kind::Text, 8);
        case 'U':
        case 'C': return text(Kind::Bytes, 1);
        case 'T':
        case 'B': return text(Kind::Bytes, 4);
        case 0x8e:
        case 0x96: return text(Kind::Bytes, 8);
        case ']': pushContainer(Kind::List, {}); return {};
        case '}': pushContainer(Kind::Dict, {}); return {};
        case ')': pushContainer(Kind::Tuple, {}); return {};
        case 't': {
            TRY(std::vector<Value> values, popToMark());
            pushContainer(Kind::Tuple, std::move(values));
            return {};
        }
        case 0x85: return tuple(1);
        case 0x86: return tuple(2);
        case 0x87: return tuple(3);
        case 'a': {
            TRY(const Value value, pop());
            return append(std::span(&value, 1), Kind::List);
        }
        case 'e': {
            TRY(const std::vector<Value> values, popToMark());
            return append(values, Kind::List);
        }
        case 's': {
            std::array<Value, 2> pair;
            TRY(pair[1], pop());
            TRY(pair[0], pop());
            return append(pair, Kind::Dict);
        }
        case 'u': {
            TRY(const std::vector<Value> values, popToMark());
            return append(values, Kind::Dict);
        }
        case '0': {
            TRY(const Value dropped, pop());
            (void)dropped;
            return {};
        }
        case '1': {
            TRY(const std::vector<Value> dropped, popToMark());
            return {};
        }
        case '2': {
            TRY(const Value value, pop());
            push(value);
            push(value);
            return {};
        }
        case 0x94: return remember(m_memo.size());
        case 'q': {
            TRY(const std::uint64_t index, number(1));
            return remember(index);
        }
        case 'r': {
            TRY(const std::uint64_t index, number(4));
            return remember(index);
        }
        case 'h': {
            TRY(const std::uint64_t index, number(1));
            return recall(index);
        }
        case 'j': {
            TRY(const std::uint64_t index, number(4));
            return recall(index);
        }
        default: break;
        }
        if (m_objects == Pickle::Objects::AsData) {
            TRY(const bool done, stepOfObjects(opcode));
            if (done) return {};
        }
        const auto known = std::ranges::find(refused, opcode, &Refused::opcode);
        if (known != refused.end()) {
            if (m_objects == Pickle::Objects::AsData) return wrong("opcode {} is not read", known->name);
            return wrong("opcode {} is not read: a snapshot is data alone", known->name);
        }
        return wrong("opcode {:#04x} is unknown", opcode);
    }

    // Up to the end of the line, which is taken too.
    Result<Value> line() {
        const std::string_view rest(reinterpret_cast<const char*>(m_bytes.data()) + m_at, m_bytes.size() - m_at);
        const std::size_t length = rest.find('\n');
        if (length == std::string_view::npos) return wrong("a name without an end");
        const Value value{.kind = Kind::Text, .bits = m_at, .length = length};
        m_at += length + 1;
        return value;
    }
    Result<void> global() {
        TRY(const Value module, line());
        TRY(const Value name, line());
        pushContainer(Kind::Global, {module, name});
        return {};
    }
    // Takes the argument that stands above what is called.
    Result<void> call() {
        TRY(const Value arguments, pop());
        TRY(const Value callee, pop());
        pushContainer(Kind::Call, {callee, arguments});
        return {};
    }
    // Imports, calls and the like as data. False for opcodes that remain refused.
    Result<bool> stepOfObjects(std::uint8_t opcode) {
        switch (opcode) {
        case 'c': CHECK(global()); return true;
        case 0x93: { // STACK_GLOBAL
            TRY(const Value name, pop());
            TRY(const Value module, pop());
            pushContainer(Kind::Global, {module, name});
            return true;
        }
        case 'R':
        case 0x81: CHECK(call()); return true; // NEWOBJ
        case 0x92: {                           // NEWOBJ_EX: named arguments are of no use here
            TRY(const Value named, pop());
            (void)named;
            CHECK(call());
            return true;
        }
        case 'i': { // INST: the arguments stand above the mark
            TRY(std::vector<Value> arguments, popToMark());
            CHECK(global());
            pushContainer(Kind::Tuple, std::move(arguments));
            CHECK(call());
            return true;
        }
        case 'o': { // OBJ: so does the class, first
            TRY(std::vector<Value> arguments, popToMark());
            if (arguments.empty()) return wrong("an object without a class");
            push(arguments.front());
            arguments.erase(arguments.begin());
            pushContainer(Kind::Tuple, std::move(arguments));
            CHECK(call());
            return true;
        }
        case 'b': { // BUILD
            TRY(const Value state, pop());
            (void)state;
            if (m_stack.size() <= bottom()) return wrong("a state without an object");
            return true;
        }
        case 'Q': {
            TRY(const Value key, pop());
            pushContainer(Kind::Reference, {key});
            return true;
        }
        case 0x8f: pushContainer(Kind::List, {}); return true; // EMPTY_SET
        case 0x90: {                                           // ADDITEMS
            TRY(const std::vector<Value> values, popToMark());
            CHECK(append(values, Kind::List));
            return true;
        }
        case 0x91: { // FROZENSET
            TRY(std::vector<Value> values, popToMark());
            pushContainer(Kind::Tuple, std::move(values));
            return true;
        }
        default: return false;
        }
    }

    Result<void> marksInBounds() const {
        if (m_marks.size() > Pickle::deepestStack)
            return wrong("more than {} marks wait on the stack", Pickle::deepestStack);
        return {};
    }

    Result<void> stop() {
        if (m_stack.size() != 1 || !m_marks.empty())
            return wrong("STOP with {} values and {} marks on the stack", m_stack.size(), m_marks.size());
        if (m_at != m_bytes.size()) return wrong("{} bytes follow STOP", m_bytes.size() - m_at);
        m_pickle.m_root = m_stack.back();
        return {};
    }

    Pickle& m_pickle;
    std::span<const std::byte> m_bytes;
    Pickle::Objects m_objects;
    std::size_t m_at = 0, m_opcodeAt = 0, m_values = 0;
    std::vector<Value> m_stack, m_memo;
    std::vector<std::size_t> m_marks;
};

Result<Pickle> Pickle::parse(std::span<const std::byte> bytes, std::string fileName, Objects objects) {
    if (bytes.size() > largestFile)
        return fail(ErrorCode::BadInput, "file {}: {}, at most {} are read", quote(fileName), formatBytes(bytes.size()),
                    formatBytes(largestFile));
    Pickle pickle(bytes, std::move(fileName));
    CHECK(PickleReader(pickle, objects).read());
    return pickle;
}

std::span<const Pickle::Value> Pickle::items(const Value& value) const {
    return value.kind >= Kind::List ? std::span<const Value>(m_containers[value.container]) : std::span<const Value>();
}

std::string_view Pickle::text(const Value& value) const {
    if (value.kind != Kind::Text && value.kind != Kind::Bytes) return {};
    return {reinterpret_cast<const char*>(m_bytes.data()) + value.bits, value.length};
}

} // namespace spikescope
