// What one event travels in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"

namespace stator::events {

/// A value. `sequence` counts the events of one publisher from 0: who misses one sees a gap.
struct EventEnvelope {
    std::uint64_t publisher_id = 0;
    std::uint64_t sequence = 0;
    std::uint64_t published_at = 0;  ///< Unix time in milliseconds
    std::string topic{};
    Bytes payload{};
    friend bool operator==(const EventEnvelope&, const EventEnvelope&) = default;
};

/// Ids of publishers fit into the numbers of JSON.
inline constexpr std::uint64_t max_publisher_id = (std::uint64_t{1} << 53U) - 1;

/// MessagePack, a map in the original's order, with the payload as bin. Errors: those of
/// ValueWriter.
Result<Bytes> write_envelope(const EventEnvelope& envelope);
/// Unknown keys are ignored; the payload is a slice of `bytes`. Errors: invalid_request
/// "events.envelope", and ValueReader's for what is no MessagePack.
Result<EventEnvelope> read_envelope(const Bytes& bytes);

/// The four parts of a message over ZeroMQ: topic, publisher, sequence, and a frame with the
/// envelope.
using EventParts = std::array<Bytes, 4>;
Result<EventParts> write_parts(const EventEnvelope& envelope);
/// Errors: as read_envelope; protocol "events.parts" for another number of them, a frame of another
/// version or length, and parts that contradict the envelope.
Result<EventEnvelope> read_parts(std::span<const Bytes> parts);

}  // namespace stator::events
