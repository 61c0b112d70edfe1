#include "stator/transport/mux_error.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "stator/transport/mux_frame.hpp"

namespace stator::transport::mux {
namespace {

constexpr std::size_t fixed_size = 8;
constexpr std::uint8_t error_flag_retryable = 0x01;

std::unexpected<Error> bad_error(std::string_view why) {
    return fail(ErrorCode::protocol, "mux.bad_error", std::string{why});
}

/// At most `limit` bytes of `text`, not ending inside a character.
std::string_view cut(std::string_view text, std::size_t limit) noexcept {
    if (text.size() <= limit) return text;
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0U) == 0x80) --limit;
    return text.substr(0, limit);
}

/// Size of the UTF-8 character at the front of `text`; 0 if there is no valid one.
std::size_t character_size(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto lead = byte(0);
    if (lead < 0x80) return 1;
    const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return 0;
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xC0U) != 0x80) return 0;
    }
    const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
    const bool surrogate = lead == 0xED && byte(1) > 0x9F;
    const bool too_large = lead == 0xF4 && byte(1) > 0x8F;
    return overlong || surrogate || too_large ? 0 : size;
}

void put(std::vector<std::byte>& out, std::string_view text) {
    const auto bytes = std::as_bytes(std::span{text});
    out.insert(out.end(), bytes.begin(), bytes.end());
}

std::string message_with_causes(const Error& error) {
    auto message = error.message();
    for (const auto* cause = error.cause(); cause != nullptr; cause = cause->cause()) {
        message += fmt::format(" (cause: {}: {})", to_string(cause->code()), cause->message());
        if (message.size() > max_error_message_size) break;
    }
    return message;
}

/// Takes `size` bytes of text off `rest`; nothing if they are not there.
std::optional<std::string_view> take(std::span<const std::byte>& rest, std::size_t size) noexcept {
    if (rest.size() < size) return std::nullopt;
    const std::string_view text{reinterpret_cast<const char*>(rest.data()), size};
    rest = rest.subspan(size);
    return text;
}

Result<Error> read_context(Error error, std::span<const std::byte> rest, std::size_t lines) {
    for (std::size_t i = 0; i < lines; ++i) {
        if (rest.size() < 2) return bad_error("context cut off");
        const std::size_t size = load<std::uint16_t>(rest.data());
        rest = rest.subspan(2);
        if (size > max_error_line_size) return bad_error("context line too long");
        const auto line = take(rest, size);
        if (!line) return bad_error("context cut off");
        error = error.with_context(clean_text(*line));
    }
    if (!rest.empty()) return bad_error("surplus bytes");
    return error;
}

}  // namespace

std::string clean_text(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const auto size = character_size(text);
        const auto lead = static_cast<unsigned char>(text.front());
        if (size == 0 || lead < 0x20 || lead == 0x7F) {
            out.push_back('?');
            text.remove_prefix(std::max<std::size_t>(size, 1));
        } else {
            out.append(text.substr(0, size));
            text.remove_prefix(size);
        }
    }
    return out;
}

std::vector<std::byte> encode_error(const Error* error) {
    std::vector<std::byte> out(fixed_size);
    if (error == nullptr) return out;
    const auto full_message = message_with_causes(*error);
    const auto message = cut(full_message, max_error_message_size);
    const auto detail = cut(error->detail(), max_error_detail_size);
    const auto lines = std::min(error->context().size(), max_error_context);
    store(out.data(), static_cast<std::uint8_t>(error->code()));
    store(out.data() + 1, error->retryable() ? error_flag_retryable : std::uint8_t{0});
    store(out.data() + 2, static_cast<std::uint8_t>(lines));
    store(out.data() + 4, static_cast<std::uint16_t>(detail.size()));
    store(out.data() + 6, static_cast<std::uint16_t>(message.size()));
    put(out, detail);
    put(out, message);
    for (std::size_t i = 0; i < lines; ++i) {
        const auto line = cut(error->context()[i], max_error_line_size);
        const auto at = out.size();
        out.resize(at + 2);
        store(out.data() + at, static_cast<std::uint16_t>(line.size()));
        put(out, line);
    }
    return out;
}

Result<std::optional<Error>> decode_error(std::span<const std::byte> block) {
    if (block.size() < fixed_size) return bad_error("cut off");
    const auto number = load<std::uint8_t>(block.data());
    const auto flags = load<std::uint8_t>(block.data() + 1);
    const std::size_t lines = load<std::uint8_t>(block.data() + 2);
    const std::size_t detail_size = load<std::uint16_t>(block.data() + 4);
    const std::size_t message_size = load<std::uint16_t>(block.data() + 6);
    if ((flags & ~error_flag_retryable) != 0 || load<std::uint8_t>(block.data() + 3) != 0) {
        return bad_error("reserved bits are set");
    }
    if (detail_size > max_error_detail_size) return bad_error("detail too long");
    if (message_size > max_error_message_size) return bad_error("message too long");
    if (lines > max_error_context) return bad_error("too many context lines");
    auto rest = block.subspan(fixed_size);
    const auto detail = take(rest, detail_size);
    const auto message = detail ? take(rest, message_size) : std::nullopt;
    if (!message) return bad_error("texts cut off");
    if (number == 0) {
        if (block.size() != fixed_size) return bad_error("class 0 with texts");
        return std::optional<Error>{};
    }
    const Error error{error_code_from_wire(number), clean_text(*detail), clean_text(*message)};
    const bool retryable = (flags & error_flag_retryable) != 0;
    auto read = read_context(error.with_retryable(retryable), rest, lines);
    if (!read) return std::unexpected{std::move(read).error()};
    return std::optional<Error>{std::move(*read)};
}

}  // namespace stator::transport::mux
