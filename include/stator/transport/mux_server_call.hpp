// One call on a multiplexed connection, from the worker's side.
#pragma once

#include <memory>

#include "stator/transport/mux_connection.hpp"
#include "stator/transport/server_call.hpp"

namespace stator::transport {

class MuxServerCall final : public ServerCall {
public:
    MuxServerCall(
        std::shared_ptr<MuxConnection> connection, StreamId stream, CancellationToken token
    ) noexcept;
    ~MuxServerCall() override;

    const net::Address& peer() const noexcept override { return connection_->remote(); }

private:
    friend class MuxConnection;
    void send_accept() noexcept override;
    void send_refusal(const Error& error) noexcept override;
    SendStatus send_item(Bytes item, bool end) override;
    void send_end() noexcept override;
    void send_error(const Error& error) noexcept override;
    void consumed(std::size_t size) noexcept override;

    std::shared_ptr<MuxConnection> connection_;
    StreamId stream_;
};

}  // namespace stator::transport
