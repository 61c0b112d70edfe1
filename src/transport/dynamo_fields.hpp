// Reading the maps that peers of Dynamo's planes send: keys in any order, unknown ones skipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "stator/base/error.hpp"
#include "stator/base/text.hpp"
#include "stator/codec/value_reader.hpp"

namespace stator::transport::dynamo {

/// Reads a map and calls `take(i)` where the value of names[i] follows; the value of any other key
/// is skipped. A known key that comes twice is an error: two readers must not see different values.
template <class Take>
Result<void> read_fields(ValueReader& in, std::span<const std::string_view> names, Take take) {
    if (auto good = in.begin_map(); !good) return good;
    std::uint64_t seen = 0;
    for (;;) {
        const auto key = in.next_key();
        if (!key) return std::unexpected{key.error()};
        const auto& name = *key;
        if (!name) return {};
        std::size_t index = 0;
        while (index < names.size() && names[index] != *name) ++index;
        const auto bit = std::uint64_t{1} << index;
        if (index == names.size()) {
            if (auto good = in.skip(); !good) return good;
            continue;
        }
        if ((seen & bit) != 0) {
            const auto message = fmt::format("the key {} came twice", quoted_text(*name));
            return std::unexpected{in.error("duplicate_key", message)};
        }
        seen |= bit;
        if (Result<void> good = take(index); !good) return good;
    }
}

/// Stores a read value.
template <class T, class To>
Result<void> put_into(To& to, Result<T> value) {
    if (!value) return std::unexpected{std::move(value).error()};
    to = std::move(*value);
    return {};
}

/// Whether the next value is null, which is read past then.
inline Result<bool> take_null(ValueReader& in) {
    const auto kind = in.peek();
    if (!kind) return std::unexpected{kind.error()};
    if (*kind != ValueKind::null) return false;
    if (auto good = in.null(); !good) return std::unexpected{std::move(good).error()};
    return true;
}

/// `error` of a reader under the name of this plane, e.g. "dynamo.bad_item".
inline std::unexpected<Error> bad(std::string_view detail, const Error& error) {
    return fail(ErrorCode::protocol, std::string{detail}, error.message());
}

}  // namespace stator::transport::dynamo
