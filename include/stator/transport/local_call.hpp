// One call inside of this process: what a request plane does, without a wire.
#pragma once

#include <memory>

#include "stator/runtime/task_scope.hpp"
#include "stator/transport/client_call.hpp"
#include "stator/transport/server_call.hpp"

namespace stator::transport {

class LocalServerCall;

/// See ClientCall. Both ends are on the loop on which it is made; messages are handed over without
/// a copy, by the same rules of credit as on a wire: a sender whose receiver lags waits.
class LocalCall final : public ClientCall {
public:
    struct Options {
        CallDispatcher* dispatcher;  ///< decides about it, as about any call
        TaskScope* tasks;            ///< owns the task that serves it; its end kills the call
        std::size_t window;          ///< bytes that the receiver has not taken
        std::uint64_t max_message;
    };
    explicit LocalCall(Options options) noexcept : options_{std::move(options)} {}
    ~LocalCall() override;

    Task<> openable() override;

private:
    friend class LocalServerCall;
    Result<void> send_open(const CallHead& head, const Bytes* request) override;
    SendStatus send_item(Bytes item) override;
    void send_half_close() noexcept override;
    void send_stop(CancelReason reason) noexcept override;
    void send_kill(CancelReason reason) noexcept override;
    void consumed(std::size_t size) noexcept override;

    Options options_;
    LocalServerCall* server_ = nullptr;  // null when it has ended or been dropped
    std::size_t unread_ = 0;             // bytes here that nobody has taken
};

}  // namespace stator::transport
