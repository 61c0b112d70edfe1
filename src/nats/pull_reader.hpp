// PullReader: what a stream has of some subjects, from the first message to the last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "stator/nats/jetstream.hpp"

namespace stator::nats {

/// Asks for no more than `batch` messages ahead of whoever takes them. Where the connection or the
/// server's memory of it is lost, it goes on after the last message that it has given out.
///
/// Owned by one reader, one `next` at a time. What the server knows of it goes with it, or some
/// seconds later. Errors: those of JetStream.
class PullReader {
public:
    struct Options {
        std::string stream{};
        std::string filter{};  ///< a subject, with wildcards or without
        std::uint64_t batch = 16;
        Duration call_timeout{};  ///< the longest time without a message
    };
    PullReader(JetStream server, Options options);
    PullReader(const PullReader&) = delete;
    PullReader& operator=(const PullReader&) = delete;
    ~PullReader();

    /// Nothing after the last message that there is. Cancel safety: throws `cancelled`; not to be
    /// read on.
    Task<std::optional<Message>> next();

private:
    Task<std::optional<Message>> step(Deadline until);
    Task<> open(Deadline until);
    void ask_for_more();
    bool is_next(const Message& message);
    void leave();

    const JetStream server_;
    const Options options_;
    Subscription messages_;
    std::string inbox_;
    std::string consumer_;
    bool open_ = false;
    std::uint64_t next_sequence_ = 1;  // of the stream
    // Of this consumer.
    std::uint64_t received_ = 0;
    std::uint64_t pending_ = 0;  // not received yet
    std::uint64_t asked_ = 0;    // of those
};

}  // namespace stator::nats
