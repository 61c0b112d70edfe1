// JetStream: streams of a NATS server that are kept, by the JSON API that it answers to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/nats/client.hpp"

namespace stator::nats {

/// What a stream is to be. Durations of zero and counts of zero mean "no limit".
struct StreamOptions {
    std::string name{};  ///< no dots, spaces, wildcards, slashes
    std::vector<std::string> subjects{};
    bool work_queue = false;  ///< a message goes when it is acknowledged; otherwise by the limits
    Duration max_age{};
    std::uint64_t max_per_subject = 0;  ///< messages; older ones of a subject make room
    Duration duplicate_window{};        ///< how long the ids of messages are remembered
    bool allow_direct = false;          ///< `last_of` may be asked
    std::size_t replicas = 1;
    bool rollup = false;       ///< a message may take the place of all others of its subject
    bool refuse_more = false;  ///< of a full stream: what is new goes, not what is old
};

/// What a stream is.
struct StreamState {
    StreamOptions options{};
    std::uint64_t messages = 0;
    std::uint64_t last_sequence = 0;
    std::string created{};  ///< a time; another one when it was made anew under the same name
};

struct ConsumerOptions {
    std::string durable{};  ///< the name; empty: it goes when nobody has used it for some seconds
    std::string filter{};   ///< a subject with wildcards; empty: everything
    /// Only the last of each subject, then what comes; otherwise all there is.
    bool last_per_subject = false;
    std::uint64_t from_sequence = 0;  ///< without `last_per_subject`: what was stored before is not
    /// Where messages are sent; empty: they have to be asked for.
    std::string deliver_to{};
    Duration ack_wait{};  ///< 0: nothing is acknowledged
    std::int64_t most_deliveries = -1;
    std::int64_t most_unacknowledged = 0;
    Duration heartbeat{};  ///< of one that sends; with it the server waits for slow readers
};

struct ConsumerState {
    std::string name{};
    std::uint64_t pending = 0;  ///< not delivered yet
    std::uint64_t unacknowledged = 0;
};

/// What has become of a message.
struct Stored {
    std::uint64_t sequence = 0;
    bool duplicate = false;  ///< it was there already, under that sequence
};

/// What the subject tells to which a message of a consumer is acknowledged.
struct Delivery {
    std::uint64_t deliveries = 0;  ///< of this message; more than 1: it was delivered before
    std::uint64_t sequence = 0;    ///< of the stream
    std::uint64_t consumer_sequence = 0;
    std::uint64_t pending = 0;   ///< messages that follow
    std::int64_t stored_ns = 0;  ///< since 1970, by the server's clock
};
/// Nothing if it is no such subject. "$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer
/// sequence>.<time>.<pending>", or the longer form with domain and account in front.
std::optional<Delivery> delivery_of(std::string_view reply);

/// Whether a name is 1 to 200 letters, digits, "-" and "_": what streams are called here.
bool is_stream_name(std::string_view name) noexcept;
bool is_name_letter(char letter) noexcept;
/// Whether a call that ended so may succeed when it is made again: the server was away, or slow.
bool may_pass(const Error& error) noexcept;

/// The header of a publication that makes its repetition harmless within the duplicate window.
inline constexpr std::string_view message_id_header = "Nats-Msg-Id";
/// It is stored only if the last message of its subject has that sequence (0: there is none).
inline constexpr std::string_view expect_of_subject_header = "Nats-Expected-Last-Subject-Sequence";
/// It is stored only if the last message of the stream has that sequence.
inline constexpr std::string_view expect_of_stream_header = "Nats-Expected-Last-Sequence";
/// With the value "sub": it takes the place of all others of its subject, if the stream allows it.
inline constexpr std::string_view rollup_header = "Nats-Rollup";

/// A cheap copy, as a Client. Every call ends at its deadline.
///
/// Errors of all: those of Client::request; unimplemented "nats.no_jetstream"; not_found
/// "nats.no_stream" / "nats.no_consumer"; already_exists "nats.wrong_sequence" for an expectation
/// that does not hold, "nats.stream_differs"; invalid_request or unavailable "nats.jetstream" with
/// the server's words; protocol "nats.jetstream_answer". Cancel safety of all: throws `cancelled`;
/// what was asked for may happen.
class JetStream {
public:
    explicit JetStream(Client client) noexcept : client_{std::move(client)} {}
    const Client& client() const noexcept { return client_; }

    /// Whether the server has JetStream, and lets us use it.
    Task<bool> available(Deadline deadline) const;
    /// Good as well if it is there with the same options.
    Task<StreamState> create_stream(StreamOptions options, Deadline deadline) const;
    Task<std::optional<StreamState>> stream(std::string name, Deadline deadline) const;
    /// False if there is none.
    Task<bool> delete_stream(std::string name, Deadline deadline) const;
    /// Removes what the stream has of a subject: how many messages there were.
    Task<std::uint64_t> purge(std::string stream, std::string subject, Deadline deadline) const;

    Task<ConsumerState> create_consumer(
        std::string stream, ConsumerOptions options, Deadline deadline
    ) const;
    Task<ConsumerState> consumer(std::string stream, std::string name, Deadline deadline) const;
    /// False if there is none.
    Task<bool> delete_consumer(std::string stream, std::string name, Deadline deadline) const;

    /// Returns when it is stored. One attempt.
    Task<Stored> publish(Publication message, Deadline deadline) const;
    /// As `publish`, and again while there is no connection or no answer: for a message that has an
    /// id, so that it is stored once. Not where nobody answers (unavailable "nats.no_responders"):
    /// there is no such stream.
    Task<Stored> publish_surely(Publication message, Deadline deadline) const;

    /// The last message of that subject, with the stream's sequence. The stream must allow it.
    struct Found {
        std::uint64_t sequence = 0;
        Message message{};
    };
    Task<std::optional<Found>> last_of(std::string stream, std::string subject, Deadline deadline)
        const;

    struct Stamped {
        std::uint64_t sequence = 0;
        Bytes payload{};
        std::string stored{};  ///< a time in the form of RFC 3339, by the server's clock
    };
    /// As `last_of`, of any stream, and never older than what was stored before the call; takes the
    /// server a little longer.
    Task<std::optional<Stamped>> last_stored(
        std::string stream, std::string subject, Deadline deadline
    ) const;

private:
    Client client_;
};

}  // namespace stator::nats
