// How a C++ type becomes one value of MessagePack or JSON.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/value_reader.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::inline codec {

/// Specialise it for a type of your own, with either or both of
///     static void write(ValueWriter& writer, const T& value);
///     static Result<T> read(ValueReader& reader);
/// and T, std::vector<T>, std::optional<T> and std::map<std::string, T> are payloads. Neither may
/// block.
template <class T>
struct PayloadValue;

template <class T>
concept WritableValue =
    requires(ValueWriter& writer, const T& value) { PayloadValue<T>::write(writer, value); };

template <class T>
concept ReadableValue = requires(ValueReader& reader) {
    { PayloadValue<T>::read(reader) } -> std::same_as<Result<T>>;
};

/// Integers of up to 64 bits; characters are text and booleans are booleans.
template <class T>
concept PayloadInteger =
    std::integral<T> && sizeof(T) <= 8 && !std::same_as<T, bool> && !std::same_as<T, char> &&
    !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> && !std::same_as<T, char16_t> &&
    !std::same_as<T, char32_t>;

template <PayloadInteger T>
struct PayloadValue<T> {
    static void write(ValueWriter& writer, T value) {
        if constexpr (std::signed_integral<T>) {
            writer.integer(value);
        } else {
            writer.unsigned_integer(value);
        }
    }
    static Result<T> read(ValueReader& reader) {
        if constexpr (std::signed_integral<T>) {
            return narrow(reader, reader.integer());
        } else {
            return narrow(reader, reader.unsigned_integer());
        }
    }

private:
    template <class Wide>
    static Result<T> narrow(const ValueReader& reader, const Result<Wide>& wide) {
        if (!wide) return std::unexpected{wide.error()};
        if (!std::in_range<T>(*wide))
            return std::unexpected{reader.error("range", "the integer is out of range")};
        return static_cast<T>(*wide);
    }
};

template <>
struct PayloadValue<bool> {
    static void write(ValueWriter& writer, bool value) { writer.boolean(value); }
    static Result<bool> read(ValueReader& reader) { return reader.boolean(); }
};

template <>
struct PayloadValue<double> {
    static void write(ValueWriter& writer, double value) { writer.number(value); }
    static Result<double> read(ValueReader& reader) { return reader.number(); }
};

/// Written as a float64; read with the rounding of a conversion from double.
template <>
struct PayloadValue<float> {
    static void write(ValueWriter& writer, float value) { writer.number(double{value}); }
    static Result<float> read(ValueReader& reader) {
        const auto value = reader.number();
        if (!value) return std::unexpected{value.error()};
        const bool finite = *value - *value == 0.0;
        if (finite && (*value > std::numeric_limits<float>::max() ||
                       *value < std::numeric_limits<float>::lowest())) {
            return std::unexpected{reader.error("range", "the number is beyond a float")};
        }
        return static_cast<float>(*value);
    }
};

template <>
struct PayloadValue<std::string> {
    static void write(ValueWriter& writer, std::string_view value) { writer.string(value); }
    static Result<std::string> read(ValueReader& reader) { return reader.string(); }
};

template <>
struct PayloadValue<std::string_view> {
    static void write(ValueWriter& writer, std::string_view value) { writer.string(value); }
};

/// A bin value of MessagePack; JSON has none.
template <>
struct PayloadValue<Bytes> {
    static void write(ValueWriter& writer, const Bytes& value) { writer.binary(value.span()); }
    static Result<Bytes> read(ValueReader& reader) { return reader.binary(); }
};

/// Nothing to say: null.
template <>
struct PayloadValue<std::monostate> {
    static void write(ValueWriter& writer, std::monostate) { writer.null(); }
    static Result<std::monostate> read(ValueReader& reader) {
        if (auto good = reader.null(); !good) return std::unexpected{std::move(good).error()};
        return std::monostate{};
    }
};

}  // namespace stator::inline codec
