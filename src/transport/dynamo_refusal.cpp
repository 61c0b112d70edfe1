#include "stator/transport/dynamo_refusal.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace stator::transport {

void DynamoFrameCounter::expect(Part part, std::uint64_t bytes) noexcept {
    part_ = part;
    left_ = bytes;
    number_ = 0;
}

/// True when the part that has just ended was the last of a frame.
Result<bool> DynamoFrameCounter::part_ended() {
    switch (part_) {
        case Part::path_length:
            if (number_ == 0 || number_ > max_path) {
                return fail(
                    ErrorCode::protocol,
                    "dynamo.bad_frame",
                    fmt::format(
                        "a request with a path of {} bytes, 1 to {} are allowed", number_, max_path
                    )
                );
            }
            expect(Part::path, number_);
            return false;
        case Part::path:
            expect(Part::headers_length, 2);
            return false;
        case Part::headers_length:
            expect(Part::headers, number_);
            return false;
        case Part::headers:
            expect(Part::payload_length, 4);
            return false;
        case Part::payload_length:
            if (number_ > max_payload) {
                return fail(
                    ErrorCode::protocol,
                    "dynamo.bad_frame",
                    fmt::format(
                        "a request of {} bytes, at most {} are allowed", number_, max_payload
                    )
                );
            }
            expect(Part::payload, number_);
            return false;
        case Part::payload:
            expect(Part::path_length, 2);
            return true;
    }
    return false;
}

Result<std::size_t> DynamoFrameCounter::feed(std::span<const std::byte> bytes) {
    std::size_t frames = 0;
    for (;;) {
        while (left_ == 0) {  // an empty part ends without a byte
            const auto last = part_ended();
            if (!last) return std::unexpected{last.error()};
            frames += *last ? 1 : 0;
        }
        if (bytes.empty()) return frames;
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
        const bool is_length = part_ == Part::path_length || part_ == Part::headers_length ||
                               part_ == Part::payload_length;
        for (std::size_t i = 0; is_length && i < size; ++i)
            number_ = number_ << 8U | std::to_integer<unsigned>(bytes[i]);
        left_ -= size;
        bytes = bytes.subspan(size);
    }
}

std::string dynamo_unavailable_ack(std::string_view why) {
    const auto text = fmt::format("Server unavailable: {}", why);
    std::string ack;
    for (int shift = 24; shift >= 0; shift -= 8)
        ack.push_back(static_cast<char>(text.size() >> static_cast<unsigned>(shift) & 0xFFU));
    return ack + text;
}

}  // namespace stator::transport
