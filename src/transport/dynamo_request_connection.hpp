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
#include "stator/transport/request_carrier.hpp"
#include "transport/dynamo_link.hpp"
#include "transport/dynamo_reader.hpp"

namespace stator::transport {

/// Frames of one turn leave in one write. Acknowledgements carry no id: they are matched in order,
/// so a request that nobody waits for any more keeps its place.
///
/// Shared by the pool and its calls; `run` keeps it going. Loop-affine.
class DynamoRequestConnection final : public DynamoLinkUser,
                                      public RequestCarrier,
                                      public std::enable_shared_from_this<DynamoRequestConnection> {
public:
    using Unanswered = runtime::detail::IntrusiveList<UnansweredRequest, UnansweredTag>;

    DynamoRequestConnection(
        std::string address, const DynamoCallConfig& config, TaskScope& answers
    );
    ~DynamoRequestConnection() override;

    Task<> run(std::unique_ptr<net::Stream> stream);
    void close() noexcept;

    /// Errors, besides: put_request's.
    Result<void> send(
        UnansweredRequest& request,
        std::string_view path,
        const dynamo::TransportHeaders& headers,
        std::string_view control,
        Bytes body
    ) override;
    void forget(UnansweredRequest& request) noexcept override;
    Task<> uncongested() override;

    void retire() noexcept override;
    void count_failure() noexcept override;
    bool usable() const noexcept { return !retired_ && !link_.closed(); }
    const std::string& address() const noexcept { return address_; }
    const DynamoCallConfig& config() const noexcept override { return config_; }
    TaskScope& answers() noexcept override { return answers_; }
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
