// Link: calls to an etcd cluster, whichever member answers.
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/net/address.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/task.hpp"
#include "stator/store/etcd_client.hpp"
#include "store/etcd/module_loader.hpp"
#include "store/etcd/status.hpp"
#include "store/etcd/wire.hpp"

namespace stator::store::etcd {

/// A stream of watches. On one loop; dropping it ends it without waiting.
class WatchStream {
public:
    /// `at` is the member's place.
    WatchStream(Wire& wire, const CallOptions& options, std::size_t at);
    WatchStream(const WatchStream&) = delete;
    WatchStream& operator=(const WatchStream&) = delete;
    ~WatchStream();

    void create(const WatchTarget& target) { call_->create(target); }
    void drop(std::int64_t id) { call_->drop(id); }
    void request_progress() { call_->request_progress(); }
    /// One at a time. Throws what it ended with. Cancel safety: throws `cancelled`, nothing is
    /// lost.
    Task<WatchMessage> next();

    std::size_t member() const noexcept { return member_; }

private:
    struct Mailbox;
    const std::shared_ptr<Mailbox> mailbox_;
    const std::size_t member_;
    std::shared_ptr<WatchCall> call_;
};

/// A call goes to the member that answered last. One that fails there, or has no answer after 2 s
/// or half of its time, goes to the next at once, and is repeated with growing pauses when all have
/// failed, until its deadline. One that is given up before leaves the next call to the next member,
/// if it has waited for long enough to tell. Connections are kept for good: each dials again by
/// itself.
///
/// Belongs to one loop, and is kept by those who call. Members that cannot be reached are reported
/// once, and once more when one answers again.
class Link {
public:
    /// `options` have been checked.
    Link(EtcdOptions options, const Dial& dial);
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    const EtcdOptions& options() const noexcept { return options_; }
    Deadline call_deadline() const noexcept { return Deadline::in(options_.call_timeout); }

    /// For each Request of wire.hpp. Errors: as of EtcdClient. Cancel safety: throws `cancelled`.
    template <class Request>
    Task<typename Request::Reply> call(Request request, Deadline deadline);
    template <class Request>
    Task<typename Request::Reply> call(Request request) {
        return call(std::move(request), call_deadline());
    }

    /// At the member that answered last.
    Task<std::unique_ptr<WatchStream>> watch();
    /// What a stream of this member ended with: the next one is another's.
    void stream_failed(std::size_t member, const Error& error);
    void stream_works(std::size_t member) { works(member); }

    /// The newest state of the store that an answer told of.
    const EtcdHeader& newest() const noexcept { return newest_; }
    void note(const EtcdHeader& header) noexcept;
    /// Called when an answer tells of a store that is behind what was known when it was asked, or
    /// of another cluster: it may have been wiped or restored.
    void on_going_back(std::function<void()> told) { on_going_back_ = std::move(told); }
    /// The store has become another one: what was seen of it counts no more.
    void start_anew(const EtcdHeader& header) noexcept { newest_ = header; }

    const net::Address& address() const noexcept { return members_[current_].address; }
    const std::string& endpoint() const noexcept { return members_[current_].endpoint; }

    void close() noexcept { closed_ = true; }

private:
    struct Member {
        std::string endpoint;
        net::Address address;
        std::shared_ptr<Wire> wire;
        std::string problem;  ///< of the latest attempt; empty: it worked
    };
    struct Failures;
    template <class Reply>
    using Outcome = std::expected<Reply, Failure>;

    template <class Request>
    Task<Outcome<typename Request::Reply>> watched_attempt(
        std::size_t at, Request request, Duration bound
    );
    template <class Request>
    Task<Outcome<typename Request::Reply>> attempt(std::size_t at, Request request, Duration bound);
    Task<std::optional<Failure>> authenticate(std::size_t at, Duration bound);
    bool needs_token() const noexcept {
        return token_.empty() && !options_.username.empty() && !open_to_all_;
    }
    Duration pause_after(
        const Failure& failure, std::size_t at, Failures& failures, Deadline deadline
    );
    Duration attempt_bound(Deadline deadline) const noexcept;
    void compare(const EtcdHeader& before, const EtcdHeader& now);
    void works(std::size_t at);
    void fails(std::size_t at, const Error& error);
    void leave(std::size_t at) noexcept;
    void all_failed(const Error& error);
    Error unreachable(const Error& last) const;

    const EtcdOptions options_;
    std::vector<Member> members_;
    std::size_t current_ = 0;
    std::optional<bool> reachable_;  // nothing: not known yet
    bool closed_ = false;
    std::string token_;
    bool open_to_all_ = false;  // the cluster does without authentication
    Semaphore authenticating_{1};
    EtcdHeader newest_;
    std::function<void()> on_going_back_;
};

}  // namespace stator::store::etcd
