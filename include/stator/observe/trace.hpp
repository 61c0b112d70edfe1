// Where a request stands in a distributed trace (W3C Trace Context).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator::observe {

/// The ids that a hop hands to the next one. A value.
struct TraceContext {
    static constexpr std::uint8_t sampled = 0x01;
    static constexpr std::size_t max_state_size = 512;

    std::array<std::byte, 16> trace_id{};  ///< of the whole trace; never all zero
    std::array<std::byte, 8> span_id{};    ///< of the hop that made this context; never all zero
    std::uint8_t flags = 0;
    std::string state;  ///< what vendors add, handed on unchanged; at most max_state_size letters

    /// A new trace. Throws only if the operating system has no random numbers.
    static TraceContext random(bool is_sampled = true);

    /// From the headers `traceparent` and `tracestate`. A version other than 00 is read as far as
    /// 00 goes, as the standard asks; a `tracestate` that is too long or not printable is dropped.
    /// Fails with invalid_request, detail "trace.invalid".
    static Result<TraceContext> parse(
        std::string_view traceparent, std::string_view tracestate = {}
    );

    /// The same trace with a span id of its own: what a hop hands on.
    TraceContext child() const;

    /// "00-<trace id>-<span id>-<flags>", all in hex.
    std::string traceparent() const;
    std::string trace_id_text() const;
    std::string span_id_text() const;
    bool is_sampled() const noexcept { return (flags & sampled) != 0; }

    friend bool operator==(const TraceContext&, const TraceContext&) = default;
};

}  // namespace stator::observe
