// Error objects in MessagePack and JSON.
#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "stator/codec/value_writer.hpp"
#include "transport/dynamo_error.hpp"
#include "transport/dynamo_fields.hpp"

namespace stator::transport::dynamo {
namespace {

/// Reads a string; a value of any other kind is skipped.
Result<void> read_text(ValueReader& in, std::string& to) {
    const auto kind = in.peek();
    if (!kind) return std::unexpected{kind.error()};
    if (*kind != ValueKind::string) return in.skip();
    return put_into(to, in.string());
}

Result<void> read_text(ValueReader& in, std::optional<std::string>& to) {
    std::string text;
    auto good = read_text(in, text);
    if (good) to = std::move(text);
    return good;
}

Result<void> read_count(ValueReader& in, std::optional<std::uint64_t>& to) {
    const auto kind = in.peek();
    if (!kind) return std::unexpected{kind.error()};
    if (*kind != ValueKind::number) return in.skip();
    const auto number = in.any_number();
    if (!number) return std::unexpected{number.error()};
    if (number->kind == Number::Kind::unsigned_integer) to = number->unsigned_integer;
    return {};
}

/// Whether a map follows; anything else is skipped.
Result<bool> map_follows(ValueReader& in) {
    const auto kind = in.peek();
    if (!kind) return std::unexpected{kind.error()};
    if (*kind == ValueKind::map) return true;
    if (auto good = in.skip(); !good) return std::unexpected{std::move(good).error()};
    return false;
}

/// "X" or {"Backend":"X"}; an object with another key is of a type that is not known.
Result<void> read_type(ValueReader& in, ErrorObject& object) {
    const auto kind = in.peek();
    if (!kind) return std::unexpected{kind.error()};
    if (*kind != ValueKind::map) return read_text(in, object.type);
    constexpr std::array<std::string_view, 1> names{"Backend"};
    return read_fields(in, names, [&](std::size_t) {
        object.backend = true;
        return read_text(in, object.type);
    });
}

Result<void> read_details(ValueReader& in, std::optional<PublicDetails>& to) {
    const auto is_map = map_follows(in);
    if (!is_map) return std::unexpected{is_map.error()};
    if (!*is_map) return {};
    constexpr std::array<std::string_view, 5> names{
        "type", "message", "limit", "actual", "remaining"
    };
    auto& details = to.emplace();
    return read_fields(in, names, [&](std::size_t i) -> Result<void> {
        switch (i) {
            case 0:
                return read_text(in, details.type);
            case 1:
                return read_text(in, details.message);
            case 2:
                return read_count(in, details.limit);
            case 3:
                return read_count(in, details.actual);
            default:
                return read_count(in, details.remaining);
        }
    });
}

Result<ErrorObject> read_object(ValueReader& in, std::size_t depth);

Result<void> read_cause(ValueReader& in, ErrorObject& object, std::size_t depth) {
    const auto kind = in.peek();
    if (!kind) return std::unexpected{kind.error()};
    if (*kind != ValueKind::map || depth == max_error_causes) return in.skip();
    auto cause = read_object(in, depth + 1);
    if (!cause) return std::unexpected{std::move(cause).error()};
    object.cause = std::make_unique<ErrorObject>(std::move(*cause));
    return {};
}

// Recursion is bounded by max_error_causes.
Result<ErrorObject> read_object(ValueReader& in, std::size_t depth) {
    constexpr std::array<std::string_view, 8> names{
        "error_type",
        "class",
        "reason",
        "message",
        "diagnostic",
        "public",
        "public_details",
        "caused_by",
    };
    ErrorObject object;
    const auto is_map = map_follows(in);
    if (!is_map) return std::unexpected{is_map.error()};
    if (!*is_map) return object;
    auto good = read_fields(in, names, [&](std::size_t i) -> Result<void> {
        switch (i) {
            case 0:
                return read_type(in, object);
            case 1:
                return read_text(in, object.error_class);
            case 2:
                return read_text(in, object.reason);
            case 3:
                return read_text(in, object.message);
            case 4:
                return read_text(in, object.diagnostic);
            case 5:
            case 6:
                return read_details(in, object.details);
            default:
                return read_cause(in, object, depth);
        }
    });
    if (!good) return std::unexpected{std::move(good).error()};
    return object;
}

void write_text(ValueWriter& out, std::string_view key, const std::string& text) {
    if (text.empty()) return;
    out.key(key);
    out.string(text);
}

void write_count(ValueWriter& out, std::string_view key, std::optional<std::uint64_t> count) {
    if (!count) return;
    out.key(key);
    out.unsigned_integer(*count);
}

void write_details(ValueWriter& out, const PublicDetails& details) {
    out.key("public");
    out.begin_map(
        std::size_t{1} + std::size_t{details.message.has_value()} +
        std::size_t{details.limit.has_value()} + std::size_t{details.actual.has_value()} +
        std::size_t{details.remaining.has_value()}
    );
    out.key("type");
    out.string(details.type);
    if (details.message) {
        out.key("message");
        out.string(*details.message);
    }
    write_count(out, "limit", details.limit);
    write_count(out, "actual", details.actual);
    write_count(out, "remaining", details.remaining);
    out.end_map();
}

std::size_t entries(const ErrorObject& object) noexcept {
    const std::array present{
        !object.type.empty(),
        !object.error_class.empty(),
        !object.reason.empty(),
        true,  // the message is written even if it is empty
        !object.diagnostic.empty(),
        object.details.has_value(),
        object.cause != nullptr,
    };
    return static_cast<std::size_t>(std::ranges::count(present, true));
}

}  // namespace

Result<ErrorObject> read_error(ValueReader& in) { return read_object(in, 0); }

// Recursion is bounded by whoever made the object: to_object or read_error.
void write_error(ValueWriter& out, const ErrorObject& object) {
    out.begin_map(entries(object));
    if (object.backend && !object.type.empty()) {
        out.key("error_type");
        out.begin_map(1);
        write_text(out, "Backend", object.type);
        out.end_map();
    } else {
        write_text(out, "error_type", object.type);
    }
    write_text(out, "class", object.error_class);
    write_text(out, "reason", object.reason);
    out.key("message");
    out.string(object.message);
    write_text(out, "diagnostic", object.diagnostic);
    if (object.details) write_details(out, *object.details);
    if (object.cause) {
        out.key("caused_by");
        write_error(out, *object.cause);
    }
    out.end_map();
}

}  // namespace stator::transport::dynamo
