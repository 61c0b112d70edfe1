#include "transport/dynamo_reader.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace stator::transport::dynamo {
namespace {

/// A frame beyond this gets all of its memory when this much of it is there.
constexpr std::size_t first_step = std::size_t{4} << 20U;
/// Room for the part of a frame whose size is not known yet, so that a read is worth its while.
constexpr std::size_t least_room = 512;

std::unexpected<Error> too_large(std::uint64_t size, std::uint64_t limit) {
    // Word for word what the original tells its client.
    return fail(
        ErrorCode::payload_too_large,
        "dynamo.frame_too_large",
        fmt::format("message too large: {} bytes (max: {} bytes)", size, limit)
    );
}

std::string_view text_at(const std::byte* at, std::size_t size) noexcept {
    return {reinterpret_cast<const char*>(at), size};
}

}  // namespace

std::size_t FrameInput::space(std::array<iovec, 2>& vectors) {
    const auto count = input_.space(vectors);
    offered_ = 0;
    for (std::size_t i = 0; i < count; ++i) offered_ += vectors[i].iov_len;
    return count;
}

void FrameInput::received(std::size_t size) noexcept {
    input_.received(size);
    if (size > 0 && size == offered_) input_.grow();
}

void FrameInput::feed(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        if (pending() > 0) input_.make_room(pending() + bytes.size());
        std::array<iovec, 2> vectors{};
        input_.space(vectors);
        const auto part = std::min(bytes.size(), vectors[0].iov_len);
        std::memcpy(vectors[0].iov_base, bytes.data(), part);
        input_.received(part);
        bytes = bytes.subspan(part);
    }
}

std::size_t FrameInput::most_affordable() const noexcept {
    return budget_ ? budget_->half() : std::numeric_limits<std::size_t>::max();
}

bool FrameInput::afford(std::size_t size) {
    if (size <= block_size || booked_.size() > 0) return true;
    auto booked = Reservation::take(budget_, size);
    if (!booked) return false;
    booked_ = std::move(*booked);
    return true;
}

/// More bytes are needed until there are `size` of them.
std::nullopt_t FrameInput::need(std::size_t size) {
    if (size > first_step && input_.size() < first_step) size = first_step;
    input_.make_room(std::max(size, least_room));
    return std::nullopt;
}

/// The next `size` bytes, which are there.
Bytes FrameInput::take(std::size_t size) {
    auto bytes = input_.slice(input_.data(), size);
    input_.consume(size);
    return bytes;
}

Result<Message> split_message(const Bytes& payload) {
    const auto bad = [](std::string_view why) {
        return fail(ErrorCode::protocol, "dynamo.bad_frame", std::string{why});
    };
    if (payload.size() < message_prelude) return bad("a two-part message is cut off");
    const auto header = load<std::uint64_t>(payload.data());
    const auto body = load<std::uint64_t>(payload.data() + 8);
    const auto rest = payload.size() - message_prelude;
    if (header > rest || body != rest - header)
        return bad("the lengths of a two-part message do not add up");
    return Message{payload.slice(message_prelude, header), payload.slice(message_prelude + header)};
}

/// False while there is more of it to come.
bool RequestReader::throw_away() noexcept {
    const auto part = std::min(to_throw_away_, pending());
    drop(part);
    to_throw_away_ -= part;
    thrown_away_ = to_throw_away_ > 0 ? thrown_away_ + part : 0;
    return to_throw_away_ == 0;
}

Result<std::optional<RequestFrame>> RequestReader::next() {
    if (!throw_away()) return need(1);
    const auto have = pending();
    if (have == 0) return std::nullopt;
    std::size_t known = 2;
    if (have < known) return need(known);
    const std::size_t path = load<std::uint16_t>(data());
    if (path == 0 || path > max_path_size) {
        return fail(
            ErrorCode::protocol,
            "dynamo.bad_frame",
            fmt::format("a path of {} bytes, 1 to {} are allowed", path, max_path_size)
        );
    }
    const auto headers_at = 2 + path + 2;
    if (have < headers_at) return need(headers_at);
    const std::size_t headers = load<std::uint16_t>(data() + 2 + path);
    const auto payload_at = headers_at + headers + 4;
    if (have < payload_at) return need(payload_at);
    const std::size_t payload = load<std::uint32_t>(data() + headers_at + headers);
    const auto size = payload_at + payload;
    const auto most = std::min(max_frame_, most_affordable());
    if (size > most) return too_large(size, most);
    const bool afforded = have >= size || afford(size);
    if (afforded && have < size) return need(size);
    RequestFrame frame;
    frame.frame = take(afforded ? size : payload_at);
    frame.path = text_at(frame.frame.data() + 2, path);
    frame.headers = text_at(frame.frame.data() + headers_at, headers);
    frame.payload = frame.frame.slice(payload_at);
    frame.booked = take_booking();
    frame.dropped = !afforded;
    if (!afforded) {
        to_throw_away_ = payload;
        thrown_away_ = payload_at;
    }
    return frame;
}

Result<std::optional<Message>> MessageReader::next() {
    const auto have = pending();
    if (have == 0) return std::nullopt;
    if (have < message_prelude) return need(message_prelude);
    const auto header = load<std::uint64_t>(data());
    const auto body = load<std::uint64_t>(data() + 8);
    if (header > limits_.header) return too_large(header, limits_.header);
    if (body > limits_.body) return too_large(body, limits_.body);
    const auto size = message_prelude + static_cast<std::size_t>(header + body);
    if (size > most_affordable()) return too_large(size, most_affordable());
    starved_ = have < size && !afford(size);
    if (starved_) return std::nullopt;
    if (have < size) return need(size);
    const auto frame = take(size);
    return Message{
        frame.slice(message_prelude, header),
        frame.slice(message_prelude + header),
        take_booking(),
    };
}

void AckReader::feed(std::span<const std::byte> bytes) {
    pending_.erase(0, std::exchange(begin_, 0));
    pending_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<std::optional<std::string>> AckReader::next() {
    constexpr std::size_t length_size = 4;
    const auto left = pending_.size() - begin_;
    if (left < length_size) return std::nullopt;
    const auto* at = reinterpret_cast<const std::byte*>(pending_.data() + begin_);
    const std::size_t size = load<std::uint32_t>(at);
    if (size > max_ack_size) {
        return fail(
            ErrorCode::protocol,
            "dynamo.bad_ack",
            fmt::format(
                "an acknowledgement of {} bytes, at most {} are allowed", size, max_ack_size
            )
        );
    }
    if (left < length_size + size) return std::nullopt;
    begin_ += length_size + size;
    return pending_.substr(begin_ - size, size);
}

}  // namespace stator::transport::dynamo
