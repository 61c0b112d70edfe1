// Refusing requests of the Dynamo TCP plane in its own terms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "stator/base/error.hpp"

namespace stator::transport {

/// Finds the ends of request frames without keeping them: u16 path length, path, u16 headers
/// length, headers, u32 payload length, payload; all big-endian. Sans I/O.
class DynamoFrameCounter {
public:
    static constexpr std::size_t max_path = 1024;
    static constexpr std::size_t max_payload = 32U << 20U;

    /// How many frames ended in `bytes`. Errors: `protocol` ("dynamo.bad_frame") for lengths above
    /// the limits; the connection is of no use afterwards.
    Result<std::size_t> feed(std::span<const std::byte> bytes);

private:
    enum class Part : std::uint8_t {
        path_length,
        path,
        headers_length,
        headers,
        payload_length,
        payload
    };
    Result<bool> part_ended();
    void expect(Part part, std::uint64_t bytes) noexcept;

    Part part_ = Part::path_length;
    std::uint64_t left_ = 2;    // bytes of this part still to come
    std::uint64_t number_ = 0;  // the length being read
};

/// One refusing acknowledgement: u32 length, big-endian, then the text. A client of that plane
/// treats a text that begins with "Server unavailable:" as "go elsewhere"; it would take any other
/// text for an acceptance.
std::string dynamo_unavailable_ack(std::string_view why);

}  // namespace stator::transport
