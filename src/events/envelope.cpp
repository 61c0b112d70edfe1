#include "stator/events/envelope.hpp"

#include <bit>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "stator/codec/value_reader.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::events {

namespace {

constexpr std::byte frame_version{1};
constexpr std::size_t frame_head = 1 + sizeof(std::uint32_t);

std::unexpected<Error> refuse(std::string why) {
    return fail(ErrorCode::invalid_request, "events.envelope", std::move(why));
}

std::unexpected<Error> refuse_parts(std::string why) {
    return fail(ErrorCode::protocol, "events.parts", std::move(why));
}

template <class T>
void store(std::byte* to, T value) {
    if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
    std::memcpy(to, &value, sizeof value);
}

template <class T>
T load(const std::byte* from) {
    T value{};
    std::memcpy(&value, from, sizeof value);
    if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
    return value;
}

Bytes big_endian(std::uint64_t value) {
    auto* const made = Buffer::allocate(sizeof value);
    store(made->data(), value);
    return Bytes::adopt(made, sizeof value);
}

/// What a key is for, while its value is read.
struct Fields {
    std::optional<std::uint64_t> publisher_id;
    std::optional<std::uint64_t> sequence;
    std::optional<std::uint64_t> published_at;
    std::optional<std::string> topic;
    std::optional<Bytes> payload;

    Result<void> read(ValueReader& in, std::string_view key) {
        if (key == "publisher_id") return take(publisher_id, in.unsigned_integer());
        if (key == "sequence") return take(sequence, in.unsigned_integer());
        if (key == "published_at") return take(published_at, in.unsigned_integer());
        if (key == "topic") return take(topic, in.string());
        if (key == "payload") return take(payload, in.binary());
        return in.skip();
    }
    template <class T>
    static Result<void> take(std::optional<T>& to, Result<T> value) {
        if (!value) return std::unexpected{value.error()};
        to = std::move(*value);
        return {};
    }
};

}  // namespace

Result<Bytes> write_envelope(const EventEnvelope& envelope) {
    ValueWriter out{PayloadCodec::msgpack, 96 + envelope.topic.size() + envelope.payload.size()};
    out.begin_map(5);
    out.key("publisher_id");
    out.unsigned_integer(envelope.publisher_id);
    out.key("sequence");
    out.unsigned_integer(envelope.sequence);
    out.key("published_at");
    out.unsigned_integer(envelope.published_at);
    out.key("topic");
    out.string(envelope.topic);
    out.key("payload");
    out.binary(envelope.payload.span());
    out.end_map();
    return out.finish();
}

Result<EventEnvelope> read_envelope(const Bytes& bytes) {
    ValueReader in{bytes, PayloadCodec::msgpack};
    Fields fields;
    if (auto begun = in.begin_map(); !begun) return std::unexpected{begun.error()};
    for (;;) {
        const auto key = in.next_key();
        if (!key) return std::unexpected{key.error()};
        if (!*key) break;
        if (auto read = fields.read(in, **key); !read) return std::unexpected{read.error()};
    }
    if (auto ended = in.finish(); !ended) return std::unexpected{ended.error()};
    if (!fields.publisher_id) return refuse("an event names no publisher_id");
    if (!fields.sequence) return refuse("an event has no sequence");
    if (!fields.published_at) return refuse("an event has no published_at");
    if (!fields.topic) return refuse("an event names no topic");
    if (!fields.payload) return refuse("an event has no payload");
    return EventEnvelope{
        .publisher_id = *fields.publisher_id,
        .sequence = *fields.sequence,
        .published_at = *fields.published_at,
        .topic = std::move(*fields.topic),
        .payload = std::move(*fields.payload),
    };
}

Result<EventParts> write_parts(const EventEnvelope& envelope) {
    const auto written = write_envelope(envelope);
    if (!written) return std::unexpected{written.error()};
    auto* const frame = Buffer::allocate(frame_head + written->size());
    frame->data()[0] = frame_version;
    store(frame->data() + 1, static_cast<std::uint32_t>(written->size()));
    std::memcpy(frame->data() + frame_head, written->data(), written->size());
    return EventParts{
        Bytes::copy_of(envelope.topic),
        big_endian(envelope.publisher_id),
        big_endian(envelope.sequence),
        Bytes::adopt(frame, frame_head + written->size()),
    };
}

Result<EventEnvelope> read_parts(std::span<const Bytes> parts) {
    if (parts.size() != 4) return refuse_parts(fmt::format("{} parts instead of 4", parts.size()));
    const auto& frame = parts[3];
    if (parts[1].size() != 8 || parts[2].size() != 8)
        return refuse_parts("publisher and sequence take 8 bytes each");
    if (frame.size() < frame_head || frame.data()[0] != frame_version)
        return refuse_parts("a frame of another version");
    if (load<std::uint32_t>(frame.data() + 1) != frame.size() - frame_head)
        return refuse_parts("a frame of another length than it says");
    auto envelope = read_envelope(frame.slice(frame_head));
    if (!envelope) return envelope;
    const bool agree = envelope->topic == parts[0].view() &&
                       envelope->publisher_id == load<std::uint64_t>(parts[1].data()) &&
                       envelope->sequence == load<std::uint64_t>(parts[2].data());
    if (!agree) return refuse_parts("its parts and its envelope tell of different events");
    return envelope;
}

}  // namespace stator::events
