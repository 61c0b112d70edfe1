// The wire of the raw peer: a 12-byte header (payload length, call, kind, flags; host byte order,
// loopback only) and the payload. One buffer each way per connection: a turn of the loop receives
// once and sends once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/load.hpp"

namespace bench::raw {

enum class Kind : std::uint8_t { unary_request, stream_request, reply, item, bulk_request };

struct Header {
    std::uint32_t length = 0;
    std::uint32_t call = 0;
    Kind kind = Kind::unary_request;
    std::uint8_t last = 0;
    std::uint16_t reserved = 0;
};
static_assert(sizeof(Header) == 12);

/// The payload of a stream request.
struct StreamRequest {
    std::uint32_t items = 0;
    std::uint32_t size = 0;
    std::uint32_t pace_us = 0;
};
static_assert(sizeof(StreamRequest) == 12);

struct Frame {
    Header header;
    std::span<const std::byte> payload;
};

/// A non-blocking TCP connection with its two buffers. Owned by one loop; closes its socket when it
/// dies.
class Connection {
public:
    explicit Connection(int fd);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    int fd() const { return fd_; }
    /// Receives once; false when the peer has closed or the connection failed.
    bool receive();
    /// The next complete frame; its payload is valid until the next receive().
    std::optional<Frame> next();
    void append(const Header& header, std::span<const std::byte> payload);
    /// Sends what is buffered, once; false when the connection failed.
    bool flush();
    std::size_t unsent() const { return out_.size() - sent_; }
    /// Too much is unsent: do not read until it has drained.
    bool congested() const { return unsent() >= congestion_limit; }

private:
    static constexpr std::size_t congestion_limit = 1U << 20;

    int fd_;
    std::vector<std::byte> in_;
    std::size_t parsed_ = 0;
    std::size_t filled_ = 0;
    std::vector<std::byte> out_;
    std::size_t sent_ = 0;
};

/// The error `what` with the text of errno, on stderr; ends the process with status 1.
[[noreturn]] void fail(std::string_view what);

/// The time from now until `due`, at least zero, as epoll_pwait2 takes it; empty (no bound) when
/// nothing is due.
std::optional<timespec> wait_until(std::optional<TimePoint> due);

/// `port`: 0: any free one.
int serve(std::uint16_t port);
int run_client(const Options& options);

}  // namespace bench::raw
