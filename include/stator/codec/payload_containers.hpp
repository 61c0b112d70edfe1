// Containers of payload values are payload values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "stator/base/error.hpp"
#include "stator/codec/payload_value.hpp"
#include "stator/codec/value_reader.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::inline codec {

/// Null when there is none.
template <class T>
struct PayloadValue<std::optional<T>> {
    static void write(ValueWriter& writer, const std::optional<T>& value)
        requires WritableValue<T>
    {
        if (!value) return writer.null();
        PayloadValue<T>::write(writer, *value);
    }
    static Result<std::optional<T>> read(ValueReader& reader)
        requires ReadableValue<T>
    {
        const auto kind = reader.peek();
        if (!kind) return std::unexpected{kind.error()};
        if (*kind == ValueKind::null) {
            if (auto good = reader.null(); !good) return std::unexpected{std::move(good).error()};
            return std::optional<T>{};
        }
        auto value = PayloadValue<T>::read(reader);
        if (!value) return std::unexpected{std::move(value).error()};
        return std::optional<T>{std::move(*value)};
    }
};

template <class T>
struct PayloadValue<std::vector<T>> {
    static void write(ValueWriter& writer, const std::vector<T>& values)
        requires WritableValue<T>
    {
        writer.begin_array(values.size());
        for (const auto& value : values) PayloadValue<T>::write(writer, value);
        writer.end_array();
    }
    static Result<std::vector<T>> read(ValueReader& reader)
        requires ReadableValue<T>
    {
        const auto hint = reader.begin_array();
        if (!hint) return std::unexpected{hint.error()};
        std::vector<T> values;
        values.reserve(*hint);
        while (true) {
            const auto more = reader.next_item();
            if (!more) return std::unexpected{more.error()};
            if (!*more) return values;
            auto value = PayloadValue<T>::read(reader);
            if (!value) return std::unexpected{std::move(value).error()};
            values.push_back(std::move(*value));
        }
    }
};

/// A key that comes twice is an error, detail "<codec>.duplicate_key".
template <class T>
struct PayloadValue<std::map<std::string, T>> {
    static void write(ValueWriter& writer, const std::map<std::string, T>& values)
        requires WritableValue<T>
    {
        writer.begin_map(values.size());
        for (const auto& [key, value] : values) {
            writer.key(key);
            PayloadValue<T>::write(writer, value);
        }
        writer.end_map();
    }
    static Result<std::map<std::string, T>> read(ValueReader& reader)
        requires ReadableValue<T>
    {
        if (auto good = reader.begin_map(); !good) return std::unexpected{std::move(good).error()};
        std::map<std::string, T> values;
        while (true) {
            auto key = reader.next_key();
            if (!key) return std::unexpected{std::move(key).error()};
            auto name = std::move(*key);
            if (!name) return values;
            auto value = PayloadValue<T>::read(reader);
            if (!value) return std::unexpected{std::move(value).error()};
            if (!values.emplace(std::move(*name), std::move(*value)).second) {
                return std::unexpected{reader.error("duplicate_key", "a key comes twice")};
            }
        }
    }
};

}  // namespace stator::inline codec
