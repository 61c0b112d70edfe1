// One connection that carries requests to a worker of Dynamo's TCP plane.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "stator/net/stream.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/transport/dynamo_pool.hpp"
#include "transport/dynamo_link.hpp"
#include "transport/dynamo_reader.hpp"

namespace stator::transport {

struct UnansweredTag {};

/// A request whose answer has not begun: told what becomes of it on the way there. Loop-affine.
class UnansweredRequest : public runtime::detail::ListLink<UnansweredTag> {
public:
    UnansweredRequest() = default;
    UnansweredRequest(const UnansweredRequest&) = delete;
    UnansweredRequest& operator=(const UnansweredRequest&) = delete;
    virtual ~UnansweredRequest() = default;
    /// The worker has said something about it; empty: accepted.
    virtual void on_ack(const std::string& text) noexcept = 0;
    /// Nothing will come of it: the connection went before the acknowledgement, or the worker after
    /// it.
    virtual void on_lost(const Error& why) noexcept = 0;

private:
    friend class DynamoRequestConnection;
    std::uint64_t number_ = 0;  // of the request on its connection
    bool acked_ = false;
};

/// Frames of one turn leave in one write. Acknowledgements carry no id: they are matched in order,
/// so a request that nobody waits for any more keeps its place.
///
/// Shared by the pool and its calls; `run` keeps it going. Loop-affine.
class DynamoRequestConnection final : public DynamoLinkUser,
                                      public std::enable_shared_from_this<DynamoRequestConnection> {
public:
    using Unanswered = runtime::detail::IntrusiveList<UnansweredRequest, UnansweredTag>;

    DynamoRequestConnection(
        std::string address, const DynamoCallConfig& config, TaskScope& answers
    );
    ~DynamoRequestConnection() override;

    Task<> run(std::unique_ptr<net::Stream> stream);
    void close() noexcept;

    /// Errors: put_request's; `overloaded` (dynamo.congested) when too much is unsent,
    /// `unavailable` when it is gone; nothing was sent then. `request` must be forgotten before it
    /// dies.
    Result<void> send(
        UnansweredRequest& request,
        std::string_view path,
        std::string_view headers,
        std::string_view control,
        Bytes body
    );
    /// The request is nobody's any more, or its answer has begun.
    void forget(UnansweredRequest& request) noexcept;
    /// Waits until there is room for another request, or the connection is gone. Cancel safety:
    /// throws `cancelled`.
    Task<> uncongested();

    /// It does not answer: no further request is put on it, and it ends with those it has.
    void retire() noexcept;
    bool usable() const noexcept { return !retired_ && !link_.closed(); }
    const std::string& address() const noexcept { return address_; }
    const DynamoCallConfig& config() const noexcept { return config_; }
    /// Owns the tasks that read answers.
    TaskScope& answers() noexcept { return answers_; }
    /// Why it ended; nothing while it stands or when it was closed from here.
    const std::optional<Error>& end() const noexcept { return end_; }
    /// Whether a request was waiting for its acknowledgement when the connection ended.
    bool left_requests() const noexcept { return left_requests_; }

    /// Those that were accepted and whose answer has not begun.
    bool has_silent() const noexcept { return !silent_.empty(); }
    void take_silent_from(DynamoRequestConnection& other) noexcept;
    void fail_silent(const Error& why) noexcept;

private:
    std::size_t space(std::array<iovec, 2>& vectors) override;
    void received(std::size_t size) override;
    void peer_finished() noexcept override;
    void all_written() noexcept override { room_.set(); }
    void lost(const Error& why) noexcept override;
    void take_ack(const std::string& text) noexcept;
    void fail_pending(const Error& why) noexcept;
    void close_if_done() noexcept;

    const std::string address_;
    const DynamoCallConfig& config_;
    TaskScope& answers_;
    dynamo::AckReader acks_;
    std::array<std::byte, 512> input_{};
    std::deque<UnansweredRequest*> pending_;  // in order; null: nobody waits any more
    std::uint64_t first_ = 0;                 // the number of pending_.front()
    Unanswered silent_;
    std::optional<Error> end_;
    bool left_requests_ = false;
    bool retired_ = false;
    Event room_;
    DynamoLink link_;
};

}  // namespace stator::transport
