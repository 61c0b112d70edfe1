#include "stator/component/overload.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

namespace stator::inline component {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view no_room = " has no room: ";
constexpr std::string_view is = " is ";
constexpr std::string_view measured_text = ", measured ";
constexpr std::string_view retry_text = "; retry after ";
constexpr std::string_view unit = " ms";

/// What stands before `mark`, which is taken away with it.
std::optional<std::string_view> before(std::string_view& text, std::string_view mark) {
    const auto at = text.find(mark);
    if (at == std::string_view::npos) return std::nullopt;
    const auto part = text.substr(0, at);
    text.remove_prefix(at + mark.size());
    return part;
}

std::optional<double> number(std::string_view text) {
    double value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

Error Overload::error(std::string detail) const {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(retry_after).count();
    return Error{
        ErrorCode::overloaded,
        std::move(detail),
        fmt::format(
            "{}{}{}{}{:g}{}{:g}{}{}{}",
            owner,
            no_room,
            knob,
            is,
            limit,
            measured_text,
            measured,
            retry_text,
            ms,
            unit
        )
    };
}

std::optional<Overload> overload_of(const Error& error) {
    if (error.code() != ErrorCode::overloaded) return std::nullopt;
    std::string_view text = error.message();
    const auto owner = before(text, no_room);
    const auto knob = owner ? before(text, is) : std::nullopt;
    const auto limit = knob ? before(text, measured_text) : std::nullopt;
    const auto measured = limit ? before(text, retry_text) : std::nullopt;
    const auto retry = measured ? before(text, unit) : std::nullopt;
    if (!retry) return std::nullopt;
    const auto limit_value = number(*limit);
    const auto measured_value = number(*measured);
    const auto retry_value = number(*retry);
    if (!limit_value || !measured_value || !retry_value) return std::nullopt;
    const auto ms = std::clamp(*retry_value, 0.0, 1e9);
    return Overload{
        std::string{*knob},
        std::string{*owner},
        *measured_value,
        *limit_value,
        std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>{ms})
    };
}

Duration retry_after(const Error& error) {
    const auto said = overload_of(error);
    return said ? std::clamp<Duration>(said->retry_after, 1ms, 1s) : Duration{100ms};
}

}  // namespace stator::inline component
