// What there is below a prefix of a bucket, and then what is written.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "stator/nats/jetstream.hpp"
#include "store/jetstream/bucket.hpp"

namespace stator::store::jetstream {

/// A consumer of the server's that nobody else uses. It is told apart from one that has lost
/// something: each message has the number that follows, the server gives signs of life, and a lost
/// connection is told. On one loop; `close` is needed.
class Reader {
public:
    static Task<std::unique_ptr<Reader>> open(
        std::shared_ptr<Bucket> bucket, std::string prefix, Duration heartbeat
    );
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    /// The next record; nothing at a sign of life, and for keys of another prefix. Errors:
    /// unavailable "store.watch_lost". Cancel safety: throws `cancelled`, nothing is lost.
    Task<std::optional<Record>> next();
    /// Everything that was there when it was opened has come.
    bool complete() const noexcept { return complete_; }
    /// The server forgets the consumer, by itself if it cannot be told.
    Task<> close();

private:
    Reader(std::shared_ptr<Bucket> bucket, std::string prefix, Duration heartbeat);
    void handle_status(const nats::Message& message);
    std::optional<Record> handle(const nats::Message& message);

    const std::shared_ptr<Bucket> bucket_;
    const std::string prefix_;
    const Duration heartbeat_;
    nats::Subscription messages_;
    std::string consumer_;
    std::uint64_t expected_ = 0;  // messages that were there at the beginning
    std::uint64_t received_ = 0;
    bool complete_ = false;
};

}  // namespace stator::store::jetstream
