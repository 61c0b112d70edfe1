#include "stator/pipeline/annotated.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "stator/codec/dynamo_error_names.hpp"

namespace stator::inline pipeline {

namespace {

using enum ErrorCode;

struct ClassName {
    ErrorCode code;
    std::string_view name;
};

// What each is read as where no reason says more.
constexpr std::array classes{
    ClassName{invalid_request, "InvalidRequest"},
    ClassName{unauthenticated, "Unauthenticated"},
    ClassName{permission_denied, "PermissionDenied"},
    ClassName{not_found, "NotFound"},
    ClassName{already_exists, "Conflict"},
    ClassName{payload_too_large, "PayloadTooLarge"},
    ClassName{overloaded, "CapacityExhausted"},
    ClassName{unavailable, "Unavailable"},
    ClassName{cancelled, "Cancelled"},
    ClassName{deadline_exceeded, "DeadlineExceeded"},
    ClassName{protocol, "BackendProtocol"},
    ClassName{unimplemented, "NotImplemented"},
    ClassName{internal, "Internal"},
    ClassName{invalid_request, "UnsupportedMedia"},
    ClassName{overloaded, "RateLimited"},
};

/// "[detail] message": where the original keeps what is for operators.
std::string diagnostic_of(const Error& error) {
    return fmt::format("[{}] {}", error.detail(), error.message());
}

std::string detail_in(std::string_view diagnostic) {
    const auto end = diagnostic.find(']');
    if (!diagnostic.starts_with('[') || end == diagnostic.npos) return {};
    return std::string{diagnostic.substr(1, end - 1)};
}

/// What is read of an error object.
struct ErrorTexts {
    std::string error_class;
    std::string reason;
    std::string message;
    std::string diagnostic;

    /// Null for keys that say nothing here.
    std::string* field(std::string_view key) noexcept {
        if (key == "class") return &error_class;
        if (key == "reason") return &reason;
        if (key == "message") return &message;
        return key == "diagnostic" ? &diagnostic : nullptr;
    }
    /// The reason tells more than the class, where it does not contradict it.
    ErrorCode code() const noexcept {
        const auto* names = dynamo_error_names_of_reason(reason);
        const bool fits =
            names != nullptr && (error_class.empty() || names->error_class == error_class);
        return fits ? names->code : error_code_of_class(error_class).value_or(internal);
    }
};

/// A string that is wanted; whatever else there is, is skipped.
Result<void> read_text(ValueReader& in, std::string* to) {
    const auto kind = in.peek();
    if (!kind) return std::unexpected{kind.error()};
    if (to == nullptr || *kind != ValueKind::string) return in.skip();
    auto text = in.string();
    if (!text) return std::unexpected{std::move(text.error())};
    *to = std::move(*text);
    return {};
}

}  // namespace

std::string_view original_class(ErrorCode code) noexcept {
    return dynamo_error_names(code).error_class;
}

std::optional<ErrorCode> error_code_of_class(std::string_view name) noexcept {
    const auto* row = std::ranges::find(classes, name, &ClassName::name);
    if (row == classes.end()) return std::nullopt;
    return row->code;
}

namespace detail {

void write_error(ValueWriter& out, const Error& error) {
    const auto& names = dynamo_error_names(error.code());
    const bool diagnostic = !error.detail().empty();
    out.begin_map(diagnostic ? 5 : 4);
    out.key("error_type");
    if (names.backend) {
        out.begin_map(1);
        out.key("Backend");
    }
    out.string(names.type);
    if (names.backend) out.end_map();
    out.key("class");
    out.string(names.error_class);
    out.key("reason");
    out.string(names.reason);
    out.key("message");
    out.string(error.message());
    if (diagnostic) {
        out.key("diagnostic");
        out.string(diagnostic_of(error));
    }
    out.end_map();
}

Result<Error> read_error(ValueReader& in) {
    ErrorTexts texts;
    if (auto map = in.begin_map(); !map) return std::unexpected{std::move(map.error())};
    for (;;) {
        const auto key = in.next_key();
        if (!key) return std::unexpected{key.error()};
        const auto& name = *key;
        if (!name) break;
        if (auto read = read_text(in, texts.field(*name)); !read)
            return std::unexpected{std::move(read.error())};
    }
    return Error{texts.code(), detail_in(texts.diagnostic), std::move(texts.message)};
}

Result<std::vector<std::string>> read_lines(ValueReader& in) {
    std::vector<std::string> lines;
    if (auto array = in.begin_array(); !array) return std::unexpected{std::move(array.error())};
    for (;;) {
        const auto more = in.next_item();
        if (!more) return std::unexpected{more.error()};
        if (!*more) return lines;
        auto line = in.string();
        if (!line) return std::unexpected{std::move(line.error())};
        lines.push_back(std::move(*line));
    }
}

}  // namespace detail

}  // namespace stator::inline pipeline
