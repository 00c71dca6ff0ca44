#pragma once
// Names of an enum's values, as files and people read them. An enum gets its names in one line beside it:
//   template <> inline constexpr std::array<std::string_view, 2> enumNames<SpaceKind>{"host", "device"};
// Its values count from zero, in the order of the names.

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>

namespace spikescope {

template <class Enum> inline constexpr std::nullptr_t enumNames = nullptr;
template <class Enum>
concept NamedEnum = !std::is_null_pointer_v<std::remove_const_t<decltype(enumNames<Enum>)>>;

template <NamedEnum Enum> constexpr std::string_view name(Enum value) {
    const auto index = static_cast<std::size_t>(value);
    return index < enumNames<Enum>.size() ? enumNames<Enum>[index] : "?";
}

template <NamedEnum Enum> constexpr std::optional<Enum> valueNamed(std::string_view wanted) {
    for (std::size_t i = 0; i < enumNames<Enum>.size(); ++i)
        if (enumNames<Enum>[i] == wanted) return static_cast<Enum>(i);
    return std::nullopt;
}

} // namespace spikescope
