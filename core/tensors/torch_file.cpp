#include "core/tensors/torch_file.h"

#include "core/base/checked.h"
#include "core/base/text.h"
#include "core/tensors/pickle.h"

#include <algorithm>
#include <array>
#include <new>

namespace spikescope {

namespace {

using Value = Pickle::Value;
using Kind = Pickle::Kind;

// A pickle has some hundred bytes for each tensor. Each of its bytes may take some 24 in memory.
constexpr std::uint64_t largestPickle = std::uint64_t{32} << 20;
constexpr std::uint64_t mostValues = std::uint64_t{16} << 20; // seen on the way, shared ones each time
constexpr std::size_t deepest = 32;                           // dicts in dicts; what lies deeper is ignored
constexpr std::size_t mostTensors = 100'000, mostNameBytes = 10'000'000, longestName = 4096;
constexpr std::size_t highestRank = 8;
constexpr std::uint64_t largest = std::uint64_t{1} << 62;

struct StorageType {
    std::string_view storage, dtype; // the class torch.NAMEStorage and the value torch.NAME
    std::string_view text;
    std::uint64_t bytes;
    std::optional<StoredType> stored = {};
};
constexpr std::array types{
    StorageType{"FloatStorage", "float32", "F32", 4, StoredType::F32},
    StorageType{"HalfStorage", "float16", "F16", 2, StoredType::F16},
    StorageType{"BFloat16Storage", "bfloat16", "BF16", 2, StoredType::BF16},
    StorageType{"DoubleStorage", "float64", "F64", 8, StoredType::F64},
    StorageType{"", "float8_e4m3fn", "F8_E4M3", 1, StoredType::F8E4M3},
    StorageType{"", "float8_e5m2", "F8_E5M2", 1, StoredType::F8E5M2},
    StorageType{"", "float8_e4m3fnuz", "F8_E4M3FNUZ", 1},
    StorageType{"", "float8_e5m2fnuz", "F8_E5M2FNUZ", 1},
    StorageType{"", "float8_e8m0fnu", "F8_E8M0", 1},
    StorageType{"LongStorage", "int64", "I64", 8},
    StorageType{"IntStorage", "int32", "I32", 4},
    StorageType{"ShortStorage", "int16", "I16", 2},
    StorageType{"CharStorage", "int8", "I8", 1},
    StorageType{"ByteStorage", "uint8", "U8", 1},
    StorageType{"BoolStorage", "bool", "BOOL", 1},
    StorageType{"", "uint16", "U16", 2},
    StorageType{"", "uint32", "U32", 4},
    StorageType{"", "uint64", "U64", 8},
    StorageType{"ComplexFloatStorage", "complex64", "C64", 8},
    StorageType{"ComplexDoubleStorage", "complex128", "C128", 16},
};

class StateReader {
public:
    StateReader(const Pickle& pickle, const Zip& zip, std::string folder, const std::string& file)
        : m_pickle(pickle)
        , m_zip(zip)
        , m_folder(std::move(folder))
        , m_file(file)
        , m_withoutTensors(pickle.containers()) {}

    Result<std::vector<TensorView>> read() {
        CHECK(collect(m_pickle.root(), 0));
        if (m_tensors.empty()) {
            const Value& root = m_pickle.root();
            if (root.kind == Kind::Call && !isDict(root))
                return fail(
                    ErrorCode::BadInput,
                    "{}: is a PyTorch file of an object ({}) instead of tensors; save its state_dict() instead.",
                    quote(m_file), quote(nameOf(m_pickle.items(root)[0])));
            return fail(ErrorCode::BadInput,
                        "{}: is a PyTorch pickle without tensors; save the model's state_dict() instead.",
                        quote(m_file));
        }
        return std::move(m_tensors);
    }

private:
    template <class... Args> tl::unexpected<Error> wrong(fmt::format_string<Args...> text, Args&&... args) const {
        return fail(ErrorCode::BadInput, "{}: tensor {}: {}.", quote(m_file), quote(m_name),
                    fmt::format(text, std::forward<Args>(args)...));
    }

    // "module.name" of a Global; what else is called has no name.
    std::string nameOf(const Value& global) const {
        if (global.kind != Kind::Global) return "?";
        const auto parts = m_pickle.items(global);
        return std::string(m_pickle.text(parts[0])) + "." + std::string(m_pickle.text(parts[1]));
    }
    std::string calleeOf(const Value& value) const {
        return value.kind == Kind::Call ? nameOf(m_pickle.items(value)[0]) : "";
    }
    bool isDict(const Value& value) const {
        if (value.kind == Kind::Dict) return true;
        const std::string callee = calleeOf(value);
        return callee == "collections.OrderedDict" || callee == "collections.defaultdict";
    }

    // Finds the tensors in a value, which stands under m_name.
    Result<void> collect(const Value& value, std::size_t depth) {
        if (++m_seen > mostValues)
            return fail(ErrorCode::BadInput, "{}: its pickle has more than {} values.", quote(m_file), mostValues);
        const bool dict = isDict(value);
        if (!dict && value.kind == Kind::Call) return collectCall(value, depth);
        if ((!dict && value.kind != Kind::List && value.kind != Kind::Tuple) || depth == deepest) return {};
        // What is shared is visited once where it has no tensors, and never from its own inside.
        if (m_withoutTensors[value.container]) return {};
        m_withoutTensors[value.container] = true;
        const std::size_t before = m_tensors.size();
        CHECK(dict ? collectDict(value, depth) : collectList(value, depth));
        if (m_tensors.size() > before) m_withoutTensors[value.container] = false;
        return {};
    }
    Result<void> collectList(const Value& value, std::size_t depth) {
        const auto items = m_pickle.items(value);
        for (std::size_t i = 0; i < items.size(); ++i) CHECK(collectNamed(std::to_string(i), items[i], depth));
        return {};
    }
    Result<void> collectDict(const Value& value, std::size_t depth) {
        auto items = m_pickle.items(value);
        if (value.kind == Kind::Call) {
            // Python 2 gave the keys and values as a list of pairs.
            const auto arguments = m_pickle.items(items[1]);
            if (!arguments.empty() && arguments[0].kind == Kind::List)
                for (const Value& pair : m_pickle.items(arguments[0]))
                    if (const auto both = m_pickle.items(pair); both.size() == 2) CHECK(collectKey(both, depth));
            items = items.subspan(2);
        }
        for (std::size_t i = 0; i + 1 < items.size(); i += 2) CHECK(collectKey(items.subspan(i, 2), depth));
        return {};
    }
    Result<void> collectKey(std::span<const Value> pair, std::size_t depth) {
        if (pair[0].kind == Kind::Text || pair[0].kind == Kind::Bytes)
            return collectNamed(m_pickle.text(pair[0]), pair[1], depth);
        if (pair[0].kind == Kind::Int)
            return collectNamed(std::to_string(static_cast<std::int64_t>(pair[0].bits)), pair[1], depth);
        return {};
    }
    Result<void> collectNamed(std::string_view key, const Value& value, std::size_t depth) {
        if (value.kind < Kind::List) { // nothing in it
            ++m_seen;
            return {};
        }
        const std::size_t before = m_name.size();
        if (before + key.size() + 1 > longestName) return wrong("its name is longer than {} bytes", longestName);
        if (depth > 0) m_name += '.';
        m_name += key;
        CHECK(collect(value, depth + 1));
        m_name.resize(before);
        return {};
    }
    Result<void> collectCall(const Value& call, std::size_t depth) {
        const std::string callee = calleeOf(call);
        const auto arguments = m_pickle.items(m_pickle.items(call)[1]);
        if (callee == "torch._utils._rebuild_parameter" || callee == "torch._utils._rebuild_parameter_with_state") {
            if (arguments.empty() || depth == deepest) return wrong("is a parameter without a tensor");
            return collect(arguments[0], depth + 1);
        }
        if (callee == "torch._tensor._rebuild_from_type_v2") { // function, type, its arguments, state
            if (arguments.size() < 3) return wrong("{} has {} arguments instead of 4", callee, arguments.size());
            return addTensor(nameOf(arguments[0]), m_pickle.items(arguments[2]));
        }
        return addTensor(callee, arguments);
    }

    // Where the function is one that makes a tensor of a storage; other objects are ignored.
    Result<void> addTensor(const std::string& function, std::span<const Value> arguments) {
        const bool typed = function == "torch._utils._rebuild_tensor_v3"; // has the number format as an argument
        if (!typed && function != "torch._utils._rebuild_tensor_v2" && function != "torch._utils._rebuild_tensor")
            return {};
        if (arguments.size() < (typed ? 7 : 4)) return wrong("{} has {} arguments", function, arguments.size());
        if (m_tensors.size() == mostTensors)
            return fail(ErrorCode::BadInput, "{}: has more than {} tensors.", quote(m_file), mostTensors);
        if ((m_nameBytes += m_name.size()) > mostNameBytes)
            return fail(ErrorCode::BadInput, "{}: the names of its tensors have more than {} bytes.", quote(m_file),
                        mostNameBytes);

        TRY(const Storage storage, storageOf(arguments[0]));
        const StorageType* type = storage.type;
        if (typed) {
            const std::string dtype = nameOf(arguments[6]);
            type = std::ranges::find_if(types,
                                        [&](const StorageType& t) { return dtype == "torch." + std::string(t.dtype); });
            if (type == types.end()) return wrong("has the unknown number format {}", quote(dtype));
        }
        TensorView tensor{.name = m_name, .dtypeText = std::string(type->text), .stored = type->stored};
        TRY(const std::uint64_t first, size(arguments[1], "storage offset"));
        TRY(tensor.shape, sizes(arguments[2], "shape"));
        TRY(tensor.strides, sizes(arguments[3], "strides"));
        if (tensor.shape.size() != tensor.strides.size())
            return wrong("has {} dimensions, but {} strides", tensor.shape.size(), tensor.strides.size());

        // Elements from the first to the last one.
        std::uint64_t span = 1;
        tensor.elements = 1;
        bool rowMajor = true;
        for (std::size_t axis = tensor.shape.size(); axis-- > 0;) {
            const std::uint64_t length = tensor.shape[axis], stride = tensor.strides[axis];
            if (length > 1 && stride != tensor.elements) rowMajor = false;
            const auto all = checkedMultiply(tensor.elements, length);
            const auto reach = checkedMultiply(length > 0 ? length - 1 : 0, stride);
            if (!all || !reach || *all > largest || *reach > largest || (span += *reach) > largest)
                return wrong("shape {} with strides {} has more elements than a number can say",
                             shapeText(tensor.shape), shapeText(tensor.strides));
            tensor.elements = *all;
        }
        if (tensor.elements == 0) span = 0;
        if (rowMajor || tensor.elements == 0) tensor.strides.clear();
        const std::uint64_t stored = storage.bytes / type->bytes;
        if (first > stored || span > stored - first)
            return wrong("shape {} from element {} reaches to element {}, but its storage {} has {}",
                         shapeText(tensor.shape), first, first + span, quote(storage.key), stored);
        tensor.offset = storage.offset + first * type->bytes;
        tensor.bytes = span * type->bytes;
        m_tensors.push_back(std::move(tensor));
        return {};
    }

    struct Storage {
        const StorageType* type;
        std::string_view key;
        std::uint64_t offset, bytes;
    };
    // ("storage", class, key, device, number of elements)
    Result<Storage> storageOf(const Value& value) const {
        const auto reference = m_pickle.items(value);
        const auto parts = value.kind == Kind::Reference ? m_pickle.items(reference[0]) : std::span<const Value>();
        if (parts.size() < 5 || m_pickle.text(parts[0]) != "storage" || parts[2].kind != Kind::Text)
            return wrong("has no storage in the file");
        const std::string name = nameOf(parts[1]);
        const bool untyped = name == "torch.storage.UntypedStorage" || name == "torch.UntypedStorage";
        const auto type = std::ranges::find_if(types, [&](const StorageType& t) {
            if (untyped) return t.text == "U8";
            return !t.storage.empty() &&
                   (name == "torch." + std::string(t.storage) || name == "torch.cuda." + std::string(t.storage));
        });
        if (type == types.end()) return wrong("has the unknown storage {}", quote(name));
        const std::string_view key = m_pickle.text(parts[2]);
        TRY(const std::uint64_t elements, size(parts[4], "storage size"));
        const Zip::Entry* entry = m_zip.find(m_folder + "data/" + std::string(key));
        if (!entry) return wrong("its storage {} is not in the file", quote(key));
        TRY(const auto bytes, m_zip.stored(*entry));
        if (elements > bytes.size() / type->bytes)
            return wrong("its storage {} should have {} elements of {} bytes, but the file has {} bytes of it",
                         quote(key), elements, type->bytes, bytes.size());
        return Storage{.type = &*type, .key = key, .offset = entry->offset, .bytes = elements * type->bytes};
    }

    Result<std::uint64_t> size(const Value& value, std::string_view what) const {
        if (value.kind != Kind::Int || value.bits > largest) return wrong("its {} is no size", what);
        return value.bits;
    }
    // A tuple, or the tuple in a torch.Size.
    Result<std::vector<std::uint64_t>> sizes(const Value& value, std::string_view what) const {
        if (calleeOf(value) == "torch.Size") {
            const auto arguments = m_pickle.items(m_pickle.items(value)[1]);
            if (arguments.size() == 1 && arguments[0].kind == Kind::Tuple) return sizes(arguments[0], what);
        }
        if (value.kind != Kind::Tuple && value.kind != Kind::List) return wrong("has no {}", what);
        const auto items = m_pickle.items(value);
        if (items.size() > highestRank) return wrong("has more than {} dimensions", highestRank);
        std::vector<std::uint64_t> all;
        for (const Value& item : items) {
            TRY(all.emplace_back(), size(item, what));
        }
        return all;
    }

    const Pickle& m_pickle;
    const Zip& m_zip;
    std::string m_folder; // before every entry's name: "archive/"
    const std::string& m_file;
    std::string m_name;
    std::uint64_t m_seen = 0, m_nameBytes = 0;
    std::vector<bool> m_withoutTensors; // by container; also those on the way to the value at hand
    std::vector<TensorView> m_tensors;
};

// What stands before "data.pkl"; nothing where there is none, or several.
std::optional<std::string> folderOf(const Zip& zip) {
    constexpr std::string_view name = "data.pkl";
    std::optional<std::string> folder;
    for (const Zip::Entry& entry : zip.entries()) {
        if (!entry.name.ends_with(name)) continue;
        const std::string before = entry.name.substr(0, entry.name.size() - name.size());
        if (!before.empty() && before.find('/') != before.size() - 1) continue;
        if (folder) return std::nullopt;
        folder = before;
    }
    return folder;
}

} // namespace

Result<TensorListing> parseTorch(const Zip& zip, const std::string& fileName) try {
    const auto folder = folderOf(zip);
    if (!folder)
        return fail(
            ErrorCode::BadInput,
            "{}: is a zip archive, but no PyTorch file (data.pkl is missing) and no .npz file; unpack it first.",
            quote(fileName));
    const bool script = std::ranges::any_of(zip.entries(), [&](const Zip::Entry& entry) {
        return entry.name == *folder + "constants.pkl" || entry.name.starts_with(*folder + "code/");
    });
    if (script)
        return fail(ErrorCode::BadInput,
                    "{}: is a TorchScript program; load it with torch.jit.load() and save its state_dict() instead.",
                    quote(fileName));
    if (const Zip::Entry* order = zip.find(*folder + "byteorder")) {
        TRY(const auto bytes, zip.stored(*order));
        const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        if (text != "little")
            return fail(ErrorCode::BadInput, "{}: was saved on a machine of the byte order {}; only 'little' is read.",
                        quote(fileName), quote(text));
    }
    const Zip::Entry& entry = *zip.find(*folder + "data.pkl");
    TRY(const auto bytes, zip.stored(entry));
    if (bytes.size() > largestPickle)
        return fail(ErrorCode::BadInput, "{}: its pickle has {} bytes; the most is {}.", quote(fileName), bytes.size(),
                    largestPickle);
    TRY(const Pickle pickle, Pickle::parse(bytes, fileName, Pickle::Objects::AsData));
    TensorListing listing;
    TRY(listing.tensors, StateReader(pickle, zip, *folder, fileName).read());
    return listing;
} catch (const std::bad_alloc&) {
    return fail(ErrorCode::OutOfHostMemory, "There is not enough memory to read a PyTorch file.");
}

} // namespace spikescope
