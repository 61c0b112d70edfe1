// The types a setting may have: how each is understood, bounded and shown.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "settings/given.hpp"
#include "stator/base/clock.hpp"
#include "stator/settings/settings.hpp"

namespace stator::settings {

/// One type with its bounds, bound to one field of Settings.
struct Kind {
    std::string expected;  ///< completes "expected ...": "a whole number from 1 to 4096"
    /// False: `given` is not what is expected, and nothing was changed.
    std::function<bool(Settings&, const Given& given)> assign;
    std::function<std::string(const Settings&)> show;
};

// Text to value; nothing if it is none. Bounds are the caller's.
std::optional<std::int64_t> parse_integer(std::string_view text) noexcept;
std::optional<bool> parse_boolean(std::string_view text);
/// "30" and "0.5" are seconds; "250ms", "2s", "5m" and "1h" are what they say.
std::optional<Duration> parse_duration(std::string_view text) noexcept;
/// "1048576" is bytes; "64KiB", "32MiB" and "1GiB" are what they say.
std::optional<std::uint64_t> parse_size(std::string_view text) noexcept;

// The shortest text that parses to the same value.
std::string show_duration(Duration value);
std::string show_size(std::uint64_t value);

std::vector<std::string> split_list(std::string_view text);
/// `["a", "b"]` as `a, b`; anything else as it is.
std::string without_brackets(std::string_view text);

template <class Field>
Kind integer(Field field, std::int64_t least, std::int64_t most) {
    using Value = std::remove_reference_t<std::invoke_result_t<Field, Settings&>>;
    return {
        .expected = fmt::format("a whole number from {} to {}", least, most),
        .assign =
            [=](Settings& settings, const Given& given) {
                const auto value = parse_integer(given.text);
                const bool form = given.form == Form::integer || given.from_variable;
                if (!form || !value || *value < least || *value > most) return false;
                field(settings) = static_cast<Value>(*value);
                return true;
            },
        .show = [=](const Settings& settings) { return fmt::format("{}", field(settings)); }
    };
}

template <class Field>
Kind duration(Field field, Duration least, Duration most) {
    return {
        .expected = fmt::format(
            "a time from {} to {} (seconds, or with us, ms, s, m, h)",
            show_duration(least),
            show_duration(most)
        ),
        .assign =
            [=](Settings& settings, const Given& given) {
                const bool form = given.form == Form::integer || given.form == Form::fraction ||
                                  given.form == Form::text;
                const auto value = parse_duration(given.text);
                if (!form || !value || *value < least || *value > most) return false;
                field(settings) = *value;
                return true;
            },
        .show = [=](const Settings& settings) { return show_duration(field(settings)); }
    };
}

template <class Field>
Kind size(Field field, std::uint64_t least, std::uint64_t most) {
    using Value = std::remove_reference_t<std::invoke_result_t<Field, Settings&>>;
    return {
        .expected = fmt::format(
            "a size from {} to {} (bytes, or with KiB, MiB, GiB)", show_size(least), show_size(most)
        ),
        .assign =
            [=](Settings& settings, const Given& given) {
                const bool form = given.form == Form::integer || given.form == Form::text;
                const auto value = parse_size(given.text);
                if (!form || !value || *value < least || *value > most) return false;
                field(settings) = static_cast<Value>(*value);
                return true;
            },
        .show = [=](const Settings& settings) { return show_size(field(settings)); }
    };
}

/// `inverted`: the variable says what is not wanted.
template <class Field>
Kind boolean(Field field, bool inverted_variable = false) {
    return {
        .expected = "true or false (also 1, on, yes, 0, off, no)",
        .assign =
            [=](Settings& settings, const Given& given) {
                const auto value = parse_boolean(given.text);
                if (!value || !(given.form == Form::boolean || given.from_variable)) return false;
                field(settings) = given.from_variable ? *value != inverted_variable : *value;
                return true;
            },
        .show = [=](const Settings& settings
                ) { return std::string{field(settings) ? "true" : "false"}; }
    };
}

/// Free text for which `good` holds; `expected` says so in words.
template <class Field>
Kind text(Field field, std::string expected, bool (*good)(std::string_view)) {
    return {
        .expected = std::move(expected),
        .assign =
            [=](Settings& settings, const Given& given) {
                if (given.form != Form::text || !good(given.text)) return false;
                field(settings) = given.text;
                return true;
            },
        .show = [=](const Settings& settings) { return std::string{field(settings)}; }
    };
}

/// Text that is not shown.
template <class Field>
Kind secret(Field field) {
    auto kind = text(field, "a text", [](std::string_view) { return true; });
    kind.show = [=](const Settings& settings) {
        return std::string{field(settings).empty() ? "" : "(not shown)"};
    };
    return kind;
}

/// A variable holds the items separated by commas, a file as a list or the same way.
template <class Field>
Kind list(Field field, std::string expected, bool (*good)(std::string_view)) {
    return {
        .expected = std::move(expected),
        .assign =
            [=](Settings& settings, const Given& given) {
                if (given.form != Form::text && given.form != Form::list) return false;
                auto items = given.form == Form::list ? given.items : split_list(given.text);
                if (items.empty()) return false;
                for (const auto& item : items) {
                    if (!good(item)) return false;
                }
                field(settings) = std::move(items);
                return true;
            },
        .show = [=](const Settings& settings
                ) { return fmt::format("{}", fmt::join(field(settings), ",")); }
    };
}

/// As `list`, may be empty; a variable may hold a JSON list of strings as well: ["a","b"].
template <class Field>
Kind names(Field field, std::string expected, bool (*good)(std::string_view)) {
    return {
        .expected = std::move(expected),
        .assign =
            [=](Settings& settings, const Given& given) {
                if (given.form != Form::text && given.form != Form::list) return false;
                auto items = given.form == Form::list ? given.items
                                                      : split_list(without_brackets(given.text));
                for (const auto& item : items) {
                    if (!good(item)) return false;
                }
                field(settings) = std::move(items);
                return true;
            },
        .show = [=](const Settings& settings
                ) { return fmt::format("{}", fmt::join(field(settings), ",")); }
    };
}

/// One of a few words; `words[i]` means the enumerator with value i.
template <class Field, std::size_t count>
Kind choice(Field field, std::array<std::string_view, count> words) {
    using Value = std::remove_reference_t<std::invoke_result_t<Field, Settings&>>;
    return {
        .expected = fmt::format("one of {}", fmt::join(words, ", ")),
        .assign =
            [=](Settings& settings, const Given& given) {
                for (std::size_t i = 0; given.form == Form::text && i < count; ++i) {
                    if (words[i] != given.text) continue;
                    field(settings) = static_cast<Value>(i);
                    return true;
                }
                return false;
            },
        .show = [=](const Settings& settings
                ) { return std::string{words[static_cast<std::size_t>(field(settings))]}; }
    };
}

}  // namespace stator::settings
