// RequestCarrier: what brings requests of Dynamo's planes to a worker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/runtime/detail/intrusive_list.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/transport/dynamo_call_config.hpp"

namespace stator::transport {

namespace dynamo {
struct TransportHeaders;
}

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
    friend class NatsCarrier;
    std::uint64_t number_ = 0;  // of the request at its carrier
    bool acked_ = false;
};

/// A TCP connection to one worker, or NATS. Shared by its calls. Loop-affine.
class RequestCarrier {
public:
    RequestCarrier() = default;
    RequestCarrier(const RequestCarrier&) = delete;
    RequestCarrier& operator=(const RequestCarrier&) = delete;
    virtual ~RequestCarrier() = default;

    /// `path`: where to, as the record says; `control`: the control header's JSON; no `body`: the
    /// request is a stream. Errors: invalid_request and payload_too_large for what cannot be sent;
    /// `overloaded` (dynamo.congested) when too much is unsent, `unavailable` when the carrier is
    /// gone; nothing was sent then. `request` must be forgotten before it dies.
    virtual Result<void> send(
        UnansweredRequest& request,
        std::string_view path,
        const dynamo::TransportHeaders& headers,
        std::string_view control,
        Bytes body
    ) = 0;
    /// The request is nobody's any more, or its answer has begun.
    virtual void forget(UnansweredRequest& request) noexcept = 0;
    /// Waits until there is room for another request, or the carrier is gone. Cancel safety: throws
    /// `cancelled`.
    virtual Task<> uncongested() = 0;
    /// It does not answer: no further request is put on it, and it ends with those it has.
    virtual void retire() noexcept = 0;
    /// Counts a request that could not be sent, or was not acknowledged.
    virtual void count_failure() noexcept = 0;
    virtual const DynamoCallConfig& config() const noexcept = 0;
    /// Owns the tasks that read answers.
    virtual TaskScope& answers() noexcept = 0;
};

}  // namespace stator::transport
