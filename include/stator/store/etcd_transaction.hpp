// A transaction of etcd, as plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stator::store {

/// A key with everything that etcd knows about it.
struct EtcdEntry {
    std::string key{};
    std::string value{};
    std::int64_t create_revision = 0;  ///< when the key came to be: a fencing token of its holder
    std::int64_t mod_revision = 0;     ///< of its latest change
    std::int64_t version = 0;          ///< changes since it came to be
    std::int64_t lease = 0;            ///< etcd's id of the lease that keeps it; 0: none

    friend bool operator==(const EtcdEntry&, const EtcdEntry&) = default;
};

/// The end of the range of all keys that begin with `prefix`; "\0" (no end) if there is none.
std::string end_of_prefix(std::string_view prefix);

/// What must hold for a transaction's first branch.
struct EtcdCondition {
    enum class Of : std::uint8_t { version, create_revision, mod_revision, value, lease };
    enum class Is : std::uint8_t { equal, greater, less, not_equal };
    std::string key{};
    Of of = Of::version;
    Is is = Is::equal;
    std::int64_t number = 0;  ///< what is compared with; for `value` the text is
    std::string text{};

    static EtcdCondition absent(std::string key) { return {.key = std::move(key)}; }
    static EtcdCondition exists(std::string key) {
        return {.key = std::move(key), .is = Is::greater};
    }
    /// The key of then, not another of the same name: its holder has held it ever since.
    static EtcdCondition created_at(std::string key, std::int64_t revision) {
        return {.key = std::move(key), .of = Of::create_revision, .number = revision};
    }
    static EtcdCondition unchanged_since(std::string key, std::int64_t mod_revision) {
        return {.key = std::move(key), .of = Of::mod_revision, .number = mod_revision};
    }
    static EtcdCondition holds(std::string key, std::string value) {
        return {.key = std::move(key), .of = Of::value, .text = std::move(value)};
    }
    static EtcdCondition kept_by(std::string key, std::int64_t lease) {
        return {.key = std::move(key), .of = Of::lease, .number = lease};
    }
};

/// One step of a transaction.
struct EtcdOperation {
    enum class Kind : std::uint8_t { get, put, remove };
    Kind kind = Kind::get;
    std::string key{};
    std::string range_end{};  ///< empty: the key alone
    std::string value{};
    std::int64_t lease = 0;
    std::int64_t limit = 0;     ///< entries of a get; 0: all
    std::int64_t revision = 0;  ///< as it was then; 0: as it is
    bool keys_only = false;

    static EtcdOperation get(std::string key) { return {.key = std::move(key)}; }
    static EtcdOperation list(std::string prefix) {
        auto end = end_of_prefix(prefix);
        return {.key = std::move(prefix), .range_end = std::move(end)};
    }
    static EtcdOperation put(std::string key, std::string value, std::int64_t lease = 0) {
        return {
            .kind = Kind::put, .key = std::move(key), .value = std::move(value), .lease = lease
        };
    }
    static EtcdOperation remove(std::string key) {
        return {.kind = Kind::remove, .key = std::move(key)};
    }
    static EtcdOperation remove_prefix(std::string prefix) {
        auto end = end_of_prefix(prefix);
        return {.kind = Kind::remove, .key = std::move(prefix), .range_end = std::move(end)};
    }
};

/// Where a cluster stood when it answered.
struct EtcdHeader {
    std::uint64_t cluster_id = 0;
    std::uint64_t member_id = 0;
    std::int64_t revision = 0;
    std::uint64_t raft_term = 0;
};

struct EtcdOperationReply {
    std::vector<EtcdEntry> entries{};  ///< of a get, sorted by key
    bool more = false;                 ///< the limit cut it off
    std::int64_t count = 0;  ///< of a get: all there are; of a remove: how many it removed
};

struct EtcdTransactionReply {
    EtcdHeader header{};
    bool succeeded = false;                     ///< the conditions held
    bool repeated = false;                      ///< it may have been done before, without an answer
    std::vector<EtcdOperationReply> results{};  ///< of the branch that was taken, in its order
};

/// Atomic: the conditions, then one of the branches (at most 128 operations).
struct EtcdTransaction {
    using Reply = EtcdTransactionReply;
    std::vector<EtcdCondition> conditions{};
    std::vector<EtcdOperation> then{};
    std::vector<EtcdOperation> otherwise{};
    /// Doing it twice is as good as once: when nobody knows whether it was done, it is done again.
    bool repeatable = false;
};

}  // namespace stator::store
