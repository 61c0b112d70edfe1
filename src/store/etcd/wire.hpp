// Wire: a connection to one member of an etcd cluster, without the words of gRPC.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "stator/store/etcd_transaction.hpp"

// What is implemented here lives in a module of its own, which is loaded when somebody first needs
// etcd: programs that do not are spared gRPC's start. So nothing below may need a symbol of stator.

namespace stator::store::etcd {

/// gRPC's status: its code (0 is success) and what the server said.
struct Status {
    int code = 0;
    std::string message{};
    bool ok() const noexcept { return code == 0; }
};

template <class Reply>
struct Answer {
    Status status;
    Reply reply;  ///< if the status is ok
};

struct GrantReply {
    EtcdHeader header{};
    std::int64_t lease = 0;
    std::int64_t ttl = 0;  ///< seconds
};
struct GrantRequest {
    using Reply = GrantReply;
    std::int64_t ttl = 0;  ///< seconds
};

struct HeaderReply {
    EtcdHeader header{};
};
struct RevokeRequest {
    using Reply = HeaderReply;
    std::int64_t lease = 0;
};

struct KeepAliveReply {
    EtcdHeader header{};
    std::int64_t ttl = 0;  ///< seconds; 0: there is no such lease
};
struct KeepAliveRequest {
    using Reply = KeepAliveReply;
    std::int64_t lease = 0;
};

struct LeaseKeysReply {
    EtcdHeader header{};
    std::int64_t ttl = 0;  ///< seconds left; -1: there is no such lease
    std::vector<std::string> keys{};
};
struct LeaseKeysRequest {
    using Reply = LeaseKeysReply;
    std::int64_t lease = 0;
};

struct CompactRequest {
    using Reply = HeaderReply;
    std::int64_t revision = 0;
};

struct StatusReply {
    EtcdHeader header{};
    std::string version{};
    std::uint64_t leader = 0;
};
struct StatusRequest {
    using Reply = StatusReply;
};

struct AuthenticateReply {
    EtcdHeader header{};
    std::string token{};
};
struct AuthenticateRequest {
    using Reply = AuthenticateReply;
    std::string name{};
    std::string password{};
};

/// A watch of a range, one of many on a stream.
struct WatchTarget {
    std::int64_t id = 0;  ///< the client's choice, not 0
    std::string key{};
    std::string range_end{};
    std::int64_t start_revision = 0;
};

struct WatchChange {
    bool removed = false;
    EtcdEntry entry;
};

struct WatchMessage {
    EtcdHeader header{};
    std::int64_t id = 0;  ///< -1: about the stream as a whole
    bool created = false;
    bool cancelled = false;
    bool fragment = false;              ///< more of the same follows
    std::int64_t compact_revision = 0;  ///< cancelled since what it wants is no longer there
    std::string cancel_reason{};
    std::vector<WatchChange> changes{};
};

struct CallOptions {
    std::string token{};                  ///< of authentication; may be empty
    std::chrono::milliseconds timeout{};  ///< of a call; streams have none
};

/// A call under way. Dropping it changes nothing.
class Call {
public:
    Call() = default;
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    virtual ~Call() = default;
    /// It answers soon, with an error. Any thread.
    virtual void cancel() noexcept = 0;
};

/// Called on threads of gRPC; each `message` only after `next`, `ended` once and last.
struct WatchHandlers {
    std::move_only_function<void(WatchMessage)> message;
    std::move_only_function<void(Status)> ended;
};

/// Any thread. After `cancel`, or once ended, everything else does nothing.
class WatchCall : public Call {
public:
    virtual void create(const WatchTarget& target) = 0;
    virtual void drop(std::int64_t id) = 0;
    virtual void request_progress() = 0;
    /// Asks for one more message: without it none is read.
    virtual void next() = 0;
};

/// Thread-safe; never blocks, not even where it is destroyed. `done` is called once, on a thread of
/// gRPC, at the latest when the time is over.
class Wire {
public:
    Wire() = default;
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;
    virtual ~Wire() = default;

    template <class Reply>
    using Done = std::move_only_function<void(Answer<Reply>)>;
    using Handle = std::shared_ptr<Call>;

    virtual Handle start(
        const EtcdTransaction&, const CallOptions&, Done<EtcdTransactionReply> done
    ) = 0;
    virtual Handle start(const GrantRequest&, const CallOptions&, Done<GrantReply> done) = 0;
    virtual Handle start(const RevokeRequest&, const CallOptions&, Done<HeaderReply> done) = 0;
    virtual Handle start(
        const KeepAliveRequest&, const CallOptions&, Done<KeepAliveReply> done
    ) = 0;
    virtual Handle start(
        const LeaseKeysRequest&, const CallOptions&, Done<LeaseKeysReply> done
    ) = 0;
    virtual Handle start(const CompactRequest&, const CallOptions&, Done<HeaderReply> done) = 0;
    virtual Handle start(const StatusRequest&, const CallOptions&, Done<StatusReply> done) = 0;
    virtual Handle start(
        const AuthenticateRequest&, const CallOptions&, Done<AuthenticateReply> done
    ) = 0;
    virtual std::shared_ptr<WatchCall> watch(
        const CallOptions& options, WatchHandlers handlers
    ) = 0;
};

/// What a connection needs to know. PEM texts, not files.
struct WireOptions {
    std::string target{};  ///< "host:port"
    bool tls = false;
    std::string ca{};  ///< empty: the system's
    std::string certificate{};
    std::string key{};
    std::chrono::milliseconds ping_interval{};  ///< of HTTP/2; 0: none
    std::chrono::milliseconds ping_timeout{};
};

/// Of the module: `stator_etcd_module_version` must return `module_version`, before anything else.
inline constexpr int module_version = 1;
using ModuleVersion = int (*)();
/// Never null, never fails: whether somebody is there shows with the first call.
using ModuleDial = Wire* (*)(const WireOptions*);

}  // namespace stator::store::etcd
