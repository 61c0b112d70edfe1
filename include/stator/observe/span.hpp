// Span: which request a log line belongs to.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/clock.hpp"
#include "stator/observe/trace.hpp"

namespace stator::observe {

/// Where requests are served.
struct SpanPlace {
    std::string namespace_;
    std::string component;
    std::string endpoint;
    std::uint64_t instance_id = 0;
    friend auto operator<=>(const SpanPlace&, const SpanPlace&) = default;
};

/// `place` as one that lasts as long as the process, so that a request can point to it without a
/// count; the same one for equal places. Thread-safe.
const SpanPlace& lasting(const SpanPlace& place);

/// The stay of one request in this process, as JSON lines show it. A value that is made only when a
/// line is written.
struct Span {
    /// Of a request that is served here, and of one that is made here.
    static constexpr std::string_view served = "handle_payload";
    static constexpr std::string_view called = "client_request";
    using Id = std::array<std::byte, 8>;

    std::string_view name = called;
    std::string request_id{};
    std::string x_request_id{};           ///< of whoever asked the first of all; empty: not told
    std::optional<TraceContext> trace{};  ///< its span id is this span's
    std::optional<Id> parent{};           ///< the span that this is a part of
    const SpanPlace* place = nullptr;     ///< of a request that is served here
    std::optional<Duration> duration{};   ///< of a span that has ended
};

/// What log lines may belong to.
template <class T>
concept HasSpan = requires(const T& of) {
    { of.span() } -> std::same_as<Span>;
};

/// As members of a JSON object, without its braces.
std::string json_members(const Span& span);

}  // namespace stator::observe
