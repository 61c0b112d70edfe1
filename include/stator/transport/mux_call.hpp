// One call on a multiplexed connection, from the caller's side.
#pragma once

#include <memory>

#include "stator/transport/client_call.hpp"
#include "stator/transport/mux_connection.hpp"

namespace stator::transport {

/// See ClientCall. Its loop is the connection's. `open` fails as MuxSession::open does.
class MuxCall final : public ClientCall {
public:
    explicit MuxCall(std::shared_ptr<MuxConnection> connection) noexcept
        : connection_{std::move(connection)} {}
    ~MuxCall() override;

    Task<> openable() override;
    MuxConnection& connection() const noexcept { return *connection_; }

private:
    friend class MuxConnection;
    Result<void> send_open(const CallHead& head, const Bytes* request) override;
    SendStatus send_item(Bytes item) override;
    void send_half_close() noexcept override;
    void send_stop(CancelReason reason) noexcept override;
    void send_kill(CancelReason reason) noexcept override;
    void consumed(std::size_t size) noexcept override;

    std::shared_ptr<MuxConnection> connection_;
    StreamId stream_ = 0;
};

}  // namespace stator::transport
