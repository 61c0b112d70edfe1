#include "stator/transport/mux_server_call.hpp"

namespace stator::transport {

MuxServerCall::MuxServerCall(
    std::shared_ptr<MuxConnection> connection, StreamId stream, CancellationToken token
) noexcept
    : ServerCall{std::move(token)}, connection_{std::move(connection)}, stream_{stream} {}

MuxServerCall::~MuxServerCall() {
    connection_->session_.release(stream_);
    connection_->touch();
}

void MuxServerCall::send_accept() noexcept {
    connection_->session_.accept(stream_);
    connection_->touch();
}

void MuxServerCall::send_refusal(const Error& error) noexcept {
    connection_->session_.refuse(stream_, error);
    connection_->touch();
}

void MuxServerCall::consumed(std::size_t size) noexcept {
    connection_->session_.consumed(stream_, size);
    connection_->touch();
}

SendStatus MuxServerCall::send_item(Bytes item, bool end) {
    return connection_->send(stream_, std::move(item), end);
}

void MuxServerCall::send_end() noexcept {
    connection_->session_.end(stream_);
    connection_->touch();
}

void MuxServerCall::send_error(const Error& error) noexcept {
    connection_->session_.fail(stream_, error);
    connection_->touch();
}

}  // namespace stator::transport
