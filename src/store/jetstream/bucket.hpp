// A bucket of JetStream: the stream KV_<name> with one message for each key.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "stator/nats/jetstream.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/store/entry.hpp"

namespace stator::store::jetstream {

/// The last message of a key.
struct Record {
    Entry entry{};  ///< with the revision in which the value came, not that of a renewal
    std::uint64_t sequence = 0;
    bool removed = false;  ///< it marks the removal of the key
    std::string owner{};   ///< the lease or session that keeps it; empty: of another tool

    /// Which its headers do not say.
    void came_as(std::uint64_t its_sequence) noexcept;
};
inline bool is_there(const std::optional<Record>& record) noexcept {
    return record && !record->removed;
}
/// Of no message: 0.
inline std::uint64_t sequence_of(const std::optional<Record>& record) noexcept {
    return record ? record->sequence : 0;
}
/// Of a key that is not there: 0.
inline std::uint64_t created_of(const std::optional<Record>& record) noexcept {
    return record && !record->removed ? record->entry.created : 0;
}
inline bool is_kept_by(const std::optional<Record>& record, std::string_view owner) noexcept {
    return record && !record->removed && record->owner == owner;
}
/// What the message says, apart from its sequence. Nothing if its subject is no key's.
std::optional<Record> record_of(std::string_view bucket, const nats::Message& message);

struct Change {
    std::string key{};
    std::string value{};
    bool remove = false;  ///< instead of a value
    std::string owner{};
    /// Of a value that is written again, or of a key that is written over; 0: of this write.
    std::uint64_t revision = 0;
    std::uint64_t created = 0;
    /// The sequence of the key's last message; 0: there must be none.
    std::optional<std::uint64_t> expected{};
    /// The sequence of the last message of the whole bucket.
    std::optional<std::uint64_t> expected_of_all{};
};

/// Calls end after `call_timeout`; until then they are tried again while there is no connection. A
/// bucket that is gone is made again, if it was to be made at all. On one loop.
class Bucket {
public:
    struct Options {
        std::string name{};
        Duration ttl{};
        bool create = true;
        std::size_t replicas = 1;
        Duration call_timeout{};
    };
    /// Errors: as of NatsStore.
    static Task<std::shared_ptr<Bucket>> open(nats::Client client, Options options);

    /// What becomes of a key that nobody writes again; zero: it stays.
    Duration ttl() const noexcept { return ttl_; }
    const std::string& name() const noexcept { return options_.name; }
    const std::string& stream() const noexcept { return stream_; }
    const nats::JetStream& server() const noexcept { return server_; }
    Deadline deadline() const { return Deadline::in(options_.call_timeout); }

    /// Also of a key that was removed.
    Task<std::optional<Record>> get(std::string key);
    /// The sequence; nothing if what was expected is not so.
    Task<std::optional<std::uint64_t>> write(Change change);
    /// Of its last message.
    Task<std::uint64_t> last_sequence();
    /// Whoever expects something of the whole bucket holds this: of those of one process each
    /// would spoil it for all others.
    Semaphore& whole() noexcept { return whole_; }
    /// Makes it if it is not there. Errors: not_found "store.no_bucket".
    Task<> ensure(Deadline deadline);

private:
    Bucket(nats::Client client, Options options);
    Task<> look_again(Deadline deadline);
    Task<std::optional<nats::JetStream::Found>> find(std::string key, Deadline deadline);
    Task<std::optional<nats::JetStream::Found>> find_surely(std::string key, Deadline until);
    Task<std::optional<std::uint64_t>> sequence_if_last(
        std::string key, nats::Publication message, Deadline until
    );

    const Options options_;
    const std::string stream_;
    const nats::JetStream server_;
    Duration ttl_{};
    Duration repetitions_known_{};     // so long, by their ids
    std::uint64_t seen_connects_ = 0;  // when it was last known to be there
    Semaphore whole_{1};
};

}  // namespace stator::store::jetstream
