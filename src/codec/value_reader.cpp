#include "stator/codec/value_reader.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace stator::inline codec {

namespace {

/// Items a caller may reserve for on the word of a peer.
constexpr std::uint64_t max_hint = 1024;

}  // namespace

std::string_view to_string(ValueKind kind) noexcept {
    switch (kind) {
        case ValueKind::null:
            return "null";
        case ValueKind::boolean:
            return "a boolean";
        case ValueKind::number:
            return "a number";
        case ValueKind::string:
            return "a string";
        case ValueKind::binary:
            return "bytes";
        case ValueKind::array:
            return "an array";
        case ValueKind::map:
            return "a map";
    }
    return "nothing";
}

ValueReader::ValueReader(Bytes source, PayloadCodec codec, DecodeLimits limits)
    : source_{std::move(source)},
      at_{source_.view().data()},
      end_{at_ + source_.size()},
      codec_{codec},
      limits_{limits} {
    limits_.max_depth = std::min(limits_.max_depth, max_document_depth);
    if (codec != PayloadCodec::msgpack && codec != PayloadCodec::json) {
        refused_.emplace(
            ErrorCode::invalid_request, "payload.codec", "raw payloads hold no values, only bytes"
        );
    } else if (source_.size() > limits_.max_size) {
        auto message = fmt::format("{} bytes, more than {}", source_.size(), limits_.max_size);
        refused_.emplace(
            ErrorCode::payload_too_large,
            fmt::format("{}.size", to_string(codec)),
            std::move(message)
        );
    }
}

std::size_t ValueReader::position() const noexcept { return source_.size() - left(); }

Error ValueReader::error(std::string_view key, std::string_view message) const {
    return Error{
        ErrorCode::invalid_request,
        fmt::format("{}.{}", to_string(codec_), key),
        fmt::format("{} at byte {}", message, position())
    };
}

std::unexpected<Error> ValueReader::refuse(std::string_view key, std::string_view message) const {
    return std::unexpected{error(key, message)};
}

std::unexpected<Error> ValueReader::unexpected_kind(std::string_view expected, ValueKind found)
    const {
    return refuse("type", fmt::format("expected {}, found {}", expected, to_string(found)));
}

Result<ValueKind> ValueReader::peek() {
    if (refused_) return std::unexpected{*refused_};
    return json() ? json_peek() : msgpack_peek();
}

Result<void> ValueReader::expect(ValueKind kind) {
    const auto found = peek();
    if (!found) return std::unexpected{found.error()};
    if (*found != kind) return unexpected_kind(to_string(kind), *found);
    return {};
}

Result<void> ValueReader::null() {
    if (auto good = expect(ValueKind::null); !good) return good;
    if (json()) return json_literal("null");
    ++at_;
    return {};
}

Result<bool> ValueReader::boolean() {
    if (auto good = expect(ValueKind::boolean); !good) return std::unexpected{good.error()};
    if (json()) {
        const bool value = *at_ == 't';
        if (auto good = json_literal(value ? "true" : "false"); !good)
            return std::unexpected{good.error()};
        return value;
    }
    return *at_++ == static_cast<char>(0xc3);
}

Result<Number> ValueReader::any_number() {
    if (auto good = expect(ValueKind::number); !good) return std::unexpected{good.error()};
    return json() ? json_number() : msgpack_number();
}

Result<std::int64_t> ValueReader::integer() {
    const auto value = any_number();
    if (!value) return std::unexpected{value.error()};
    if (value->kind == Number::Kind::floating)
        return refuse("type", "expected an integer, found a fraction");
    if (value->kind == Number::Kind::negative) return value->negative;
    if (value->unsigned_integer > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
        return refuse("range", "the integer is too large");
    }
    return static_cast<std::int64_t>(value->unsigned_integer);
}

Result<std::uint64_t> ValueReader::unsigned_integer() {
    const auto value = any_number();
    if (!value) return std::unexpected{value.error()};
    if (value->kind == Number::Kind::floating)
        return refuse("type", "expected an integer, found a fraction");
    if (value->kind == Number::Kind::negative) return refuse("range", "the integer is negative");
    return value->unsigned_integer;
}

Result<double> ValueReader::number() {
    const auto value = any_number();
    if (!value) return std::unexpected{value.error()};
    if (value->kind == Number::Kind::floating) return value->floating;
    if (value->kind == Number::Kind::negative) return static_cast<double>(value->negative);
    return static_cast<double>(value->unsigned_integer);
}

Result<std::string> ValueReader::string() {
    if (auto good = expect(ValueKind::string); !good) return std::unexpected{good.error()};
    return json() ? json_string() : msgpack_string();
}

Result<Bytes> ValueReader::binary() {
    if (auto good = expect(ValueKind::binary); !good) return std::unexpected{good.error()};
    const auto size = msgpack_length(ValueKind::binary);  // JSON has no bytes: expect refused it
    if (!size) return std::unexpected{size.error()};
    auto bytes = source_.slice(position(), *size);
    at_ += *size;
    return bytes;
}

Result<void> ValueReader::enter(std::uint64_t items, bool map) {
    if (levels_.size() == limits_.max_depth) {
        return refuse("depth", fmt::format("nested deeper than {}", limits_.max_depth));
    }
    levels_.push_back({.left = items, .first = true, .map = map});
    return {};
}

Result<std::size_t> ValueReader::begin_array() {
    if (auto good = expect(ValueKind::array); !good) return std::unexpected{good.error()};
    std::uint64_t items = 0;
    if (json()) {
        ++at_;
    } else {
        const auto length = msgpack_length(ValueKind::array);
        if (!length) return std::unexpected{length.error()};
        items = *length;
    }
    if (auto good = enter(items, false); !good) return std::unexpected{good.error()};
    return static_cast<std::size_t>(std::min(items, max_hint));
}

Result<void> ValueReader::begin_map() {
    if (auto good = expect(ValueKind::map); !good) return good;
    if (json()) {
        ++at_;
        return enter(0, true);
    }
    const auto length = msgpack_length(ValueKind::map);
    if (!length) return std::unexpected{length.error()};
    return enter(*length, true);
}

/// Steps to the next item or entry of the innermost level, or out of it: false.
Result<bool> ValueReader::next_entry(char close) {
    if (levels_.empty()) return refuse("syntax", "no array or map is open");
    auto& level = levels_.back();
    if (json()) {
        skip_space();
        if (left() == 0) return refuse("syntax", "the text ends inside an array or map");
        if (*at_ == close) {
            ++at_;
            levels_.pop_back();
            return false;
        }
        if (!std::exchange(level.first, false)) {
            if (*at_ != ',') return refuse("syntax", fmt::format("expected ',' or '{}'", close));
            ++at_;
        }
    } else if (level.left == 0) {
        levels_.pop_back();
        return false;
    } else {
        --level.left;
    }
    if (++values_ > limits_.max_values) {
        return refuse("values", fmt::format("more than {} values", limits_.max_values));
    }
    return true;
}

Result<bool> ValueReader::next_item() { return next_entry(']'); }

Result<void> ValueReader::expect_key() {
    const auto kind = peek();
    if (!kind) return std::unexpected{kind.error()};
    if (*kind != ValueKind::string)
        return refuse("key", fmt::format("{} as a map key", to_string(*kind)));
    return {};
}

Result<std::optional<std::string>> ValueReader::next_key() {
    const auto more = next_entry('}');
    if (!more) return std::unexpected{more.error()};
    if (!*more) return std::nullopt;
    if (auto good = expect_key(); !good) return std::unexpected{std::move(good).error()};
    auto key = json() ? json_string() : msgpack_string();
    if (!key) return std::unexpected{std::move(key).error()};
    if (json()) {
        if (auto good = json_colon(); !good) return std::unexpected{std::move(good).error()};
    }
    return std::optional<std::string>{std::move(*key)};
}

Result<void> ValueReader::skip_scalar(ValueKind kind) {
    switch (kind) {
        case ValueKind::null:
            return null();
        case ValueKind::string:
            if (json()) return json_skip_string();
            [[fallthrough]];
        case ValueKind::binary: {
            const auto size = msgpack_length(kind);
            if (!size) return std::unexpected{size.error()};
            at_ += *size;
            return {};
        }
        case ValueKind::boolean:
            if (auto value = boolean(); !value) return std::unexpected{std::move(value).error()};
            return {};
        default:
            if (auto value = any_number(); !value) return std::unexpected{std::move(value).error()};
            return {};
    }
}

/// Reads past a scalar, or into an array or a map.
Result<void> ValueReader::skip_into() {
    const auto kind = peek();
    if (!kind) return std::unexpected{kind.error()};
    if (*kind == ValueKind::map) return begin_map();
    if (*kind != ValueKind::array) return skip_scalar(*kind);
    if (auto hint = begin_array(); !hint) return std::unexpected{std::move(hint).error()};
    return {};
}

/// Steps to the next value in the levels above `depth`; false when these are left.
Result<bool> ValueReader::skip_to_value(std::size_t depth) {
    while (levels_.size() > depth) {
        const bool map = levels_.back().map;
        const auto more = next_entry(map ? '}' : ']');
        if (!more) return more;
        if (!*more) continue;
        if (!map) return true;
        auto good = expect_key();
        if (good) good = skip_scalar(ValueKind::string);
        if (good && json()) good = json_colon();
        if (!good) return std::unexpected{std::move(good).error()};
        return true;
    }
    return false;
}

Result<void> ValueReader::skip_above(std::size_t depth) {
    for (;;) {
        if (auto good = skip_into(); !good) return good;
        const auto more = skip_to_value(depth);
        if (!more) return std::unexpected{more.error()};
        if (!*more) return {};
    }
}

Result<void> ValueReader::skip() {
    const auto depth = levels_.size();
    const auto most = std::exchange(limits_.max_depth, depth + max_document_depth);
    auto good = skip_above(depth);
    limits_.max_depth = most;
    return good;
}

Result<Bytes> ValueReader::raw() {
    if (const auto kind = peek(); !kind) return std::unexpected{kind.error()};
    const auto from = position();
    if (auto good = skip(); !good) return std::unexpected{std::move(good).error()};
    return source_.slice(from, position() - from);
}

Result<void> ValueReader::finish() {
    if (refused_) return std::unexpected{*refused_};
    if (json()) skip_space();
    if (!levels_.empty()) return refuse("syntax", "an array or map is still open");
    if (left() != 0) return refuse("syntax", "something follows the value");
    return {};
}

}  // namespace stator::inline codec
