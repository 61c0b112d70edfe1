#include "stator/store/keys.hpp"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "stator/base/names.hpp"
#include "stator/base/text.hpp"

namespace stator::store {

namespace {

std::unexpected<Error> refuse(std::string_view what, std::string_view key, std::string_view why) {
    return fail(
        ErrorCode::invalid_request,
        "store.key",
        fmt::format("{} {} {}", what, quoted_text(key, 128), why)
    );
}

bool has_control(std::string_view text) noexcept {
    return std::ranges::any_of(text, [](char letter) {
        const auto byte = static_cast<unsigned char>(letter);
        return byte < 0x20 || byte == 0x7f;
    });
}

/// The bucket and what follows its "/"; checks everything that keys and prefixes have in common.
Result<SplitKey> split(std::string_view what, std::string_view text) {
    if (text.size() > max_key_size)
        return refuse(what, text, fmt::format("is longer than {} bytes", max_key_size));
    if (has_control(text)) return refuse(what, text, "has control characters");
    const auto first = text.find('/');
    const auto second = first == std::string_view::npos ? first : text.find('/', first + 1);
    if (second == std::string_view::npos) return refuse(what, text, "does not begin with a bucket");
    if (!is_valid_name(text.substr(0, first)) ||
        !is_valid_name(text.substr(first + 1, second - first - 1)))
        return refuse(what, text, "has a bucket of other letters than a-z 0-9 - _");
    const SplitKey parts{text.substr(0, second), text.substr(second + 1)};
    if (parts.rest.starts_with('/') || parts.rest.find("//") != std::string_view::npos)
        return refuse(what, text, "has an empty part");
    return parts;
}

}  // namespace

Result<SplitKey> split_key(std::string_view key) {
    auto parts = split("the key", key);
    if (!parts) return parts;
    if (parts->rest.empty()) return refuse("the key", key, "names only a bucket");
    if (parts->rest.ends_with('/')) return refuse("the key", key, "has an empty part");
    return parts;
}

Result<SplitKey> split_prefix(std::string_view prefix) { return split("the prefix", prefix); }

}  // namespace stator::store
