#include "stator/nats/object_url.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "stator/base/text.hpp"
#include "stator/nats/jetstream.hpp"

namespace stator::nats {

namespace {

std::unexpected<Error> refused(std::string_view text, std::string_view why) {
    return fail(
        ErrorCode::invalid_request,
        "nats.object_url",
        fmt::format("{} is not nats://host/bucket/name: {}", quoted_text(text), why)
    );
}

bool stays(char letter) noexcept {
    return is_name_letter(letter) || letter == '.' || letter == '~' || letter == '/';
}

std::optional<std::string> decoded(std::string_view text) {
    std::string made;
    while (!text.empty()) {
        std::size_t taken = 1;
        char letter = text.front();
        if (letter == '?' || letter == '#') return std::nullopt;
        if (letter == '%') {
            constexpr std::size_t length = 3;
            unsigned value = 0;
            const auto* const end = text.data() + std::min(text.size(), length);
            const auto read = std::from_chars(text.data() + 1, end, value, 16);
            if (text.size() < length || read.ptr != end) return std::nullopt;
            letter = static_cast<char>(value);
            taken = length;
        }
        made += letter;
        text.remove_prefix(taken);
    }
    return made;
}

}  // namespace

Result<ObjectUrl> ObjectUrl::parse(std::string_view text) {
    const auto scheme = text.find("://");
    const auto kind = text.substr(0, scheme);
    if (scheme == text.npos || (kind != "nats" && kind != "tls"))
        return refused(text, "it begins with nats:// or tls://");
    const auto host = scheme + 3;
    const auto path = text.find('/', host);
    if (path == text.npos || path == host) return refused(text, "it has a host and a path");
    const auto slash = text.find('/', path + 1);
    if (slash == text.npos) return refused(text, "the path has a bucket and a name");
    ObjectUrl url{
        .server = std::string{text.substr(0, path)},
        .bucket = std::string{text.substr(path + 1, slash - path - 1)},
        .name = {}
    };
    if (!is_stream_name(url.bucket)) return refused(text, "a bucket is letters, digits, - and _");
    auto name = decoded(text.substr(slash + 1));
    if (!name || name->empty())
        return refused(text, "the name is some letters, what is special as %XX");
    url.name = std::move(*name);
    return url;
}

std::string ObjectUrl::to_string() const {
    auto text = fmt::format("{}/{}/", server, bucket);
    for (const char letter : name) {
        if (stays(letter)) {
            text += letter;
        } else {
            fmt::format_to(std::back_inserter(text), "%{:02X}", static_cast<unsigned char>(letter));
        }
    }
    return text;
}

}  // namespace stator::nats
