#include "stator/transport/mux_frame.hpp"

#include <algorithm>
#include <string>

#include <fmt/format.h>

namespace stator::transport {

Protocol sniff(std::span<const std::byte> first_bytes) noexcept {
    if (first_bytes.size() < 2) return Protocol::need_more;
    const auto first = std::to_integer<unsigned>(first_bytes[0]);
    const auto second = std::to_integer<unsigned>(first_bytes[1]);
    if (first == 0xFF && second == 0xFF) return Protocol::mux;
    if (first == 0x16 && second == 0x03) return Protocol::tls;
    return Protocol::dynamo;
}

namespace mux {
namespace {

constexpr std::string_view magic = "\xFF\xFFSTATOR";

/// What a frame type allows.
struct TypeRule {
    std::uint8_t flags = 0;
    bool on_connection = false;
    std::int64_t least_size = 0;
    std::int64_t most_size = -1;  ///< -1: bounded by max_frame only
};

constexpr std::int64_t unlimited = -1;
constexpr std::int64_t error_fixed_size = 8;

constexpr std::array<TypeRule, 15> rules = {{
    {},
    {0, true, 12, unlimited},                                     // HELLO
    {flag_end | flag_more | flag_message, false, 48, unlimited},  // OPEN
    {0, false, 0, 0},                                             // ACCEPT
    {flag_end | flag_more | flag_message, false, 0, unlimited},   // DATA
    {0, false, 0, 0},                                             // END
    {flag_refused, false, 0, unlimited},                          // ERROR
    {0, false, 1, 1},                                             // STOP
    {0, false, 1, 1},                                             // KILL
    {0, false, 0, unlimited},                                     // RESET
    {0, false, 4, 4},                                             // CREDIT
    {0, true, 8, 8},                                              // PING
    {0, true, 8, 8},                                              // PONG
    {0, true, 8, 8 + 256},                                        // DRAIN
    {0, true, error_fixed_size, unlimited},                       // GOODBYE
}};

bool flags_allowed(const FrameHeader& header, const TypeRule& rule) noexcept {
    if ((header.flags & ~rule.flags) != 0) return false;
    if ((header.flags & flag_more) == 0) return true;
    if ((header.flags & flag_end) != 0) return false;
    return header.type != static_cast<std::uint8_t>(FrameType::open) ||
           (header.flags & flag_message) != 0;
}

bool stream_allowed(const FrameHeader& header, const TypeRule& rule) noexcept {
    if (rule.on_connection) return header.stream == 0;
    if (header.stream == 0) return header.type == static_cast<std::uint8_t>(FrameType::credit);
    return (header.stream & 1U) != 0;
}

}  // namespace

std::array<std::byte, preface_size> Preface::encode() const noexcept {
    std::array<std::byte, preface_size> out{};
    std::memcpy(out.data(), magic.data(), magic.size());
    store(out.data() + 8, lowest);
    store(out.data() + 10, highest);
    return out;
}

Result<Preface> Preface::decode(std::span<const std::byte, preface_size> from) {
    const Preface preface{
        load<std::uint16_t>(from.data() + 8), load<std::uint16_t>(from.data() + 10)
    };
    if (std::memcmp(from.data(), magic.data(), magic.size()) != 0) {
        return fail(ErrorCode::protocol, "mux.bad_preface", "not the preface of a mux connection");
    }
    if (load<std::uint32_t>(from.data() + 12) != 0) {
        return fail(ErrorCode::protocol, "mux.bad_preface", "the reserved bytes are not zero");
    }
    if (preface.lowest == 0 || preface.highest < preface.lowest) {
        return fail(
            ErrorCode::protocol,
            "mux.bad_preface",
            fmt::format("impossible versions {} to {}", preface.lowest, preface.highest)
        );
    }
    return preface;
}

Result<std::uint16_t> choose_version(const Preface& dialler, const Preface& acceptor) {
    const auto chosen = std::min(dialler.highest, acceptor.highest);
    if (chosen >= std::max(dialler.lowest, acceptor.lowest)) return chosen;
    return fail(
        ErrorCode::unimplemented,
        "mux.no_common_version",
        fmt::format(
            "dialler speaks {} to {}, acceptor {} to {}",
            dialler.lowest,
            dialler.highest,
            acceptor.lowest,
            acceptor.highest
        )
    );
}

std::string_view check_frame_header(const FrameHeader& header) noexcept {
    if (header.type >= first_extension_type) return {};
    if (header.type == 0 || header.type >= rules.size()) return "mux.unknown_frame";
    const auto& rule = rules[header.type];
    if (header.reserved != 0) return "mux.bad_frame";
    if (!flags_allowed(header, rule)) return "mux.bad_flags";
    if (!stream_allowed(header, rule)) return "mux.bad_stream_id";
    if (header.length < rule.least_size) return "mux.bad_frame";
    if (rule.most_size != unlimited && header.length > rule.most_size) return "mux.bad_frame";
    return {};
}

}  // namespace mux
}  // namespace stator::transport
