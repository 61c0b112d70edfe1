#include "stator/transport/mux_call.hpp"

#include "stator/runtime/combinators.hpp"

namespace stator::transport {

MuxCall::~MuxCall() {
    if (!is_open()) return;
    if (!over()) connection_->session_.kill(stream_, drop_reason());
    connection_->session_.release(stream_);
    connection_->touch();
}

Task<> MuxCall::openable() { co_await when_any(connection_->uncongested(), changed()); }

Result<void> MuxCall::send_open(const CallHead& head, const Bytes* request) {
    const auto stream = connection_->session_.open(
        head, request, request != nullptr, this, connection_->loop_.now()
    );
    if (!stream) return std::unexpected{stream.error()};
    stream_ = *stream;
    connection_->touch();
    return {};
}

SendStatus MuxCall::send_item(Bytes item) {
    return connection_->send(stream_, std::move(item), false);
}

void MuxCall::send_half_close() noexcept {
    connection_->session_.end(stream_);
    connection_->touch();
}

void MuxCall::send_stop(CancelReason reason) noexcept {
    connection_->session_.stop(stream_, reason);
    connection_->touch();
}

void MuxCall::send_kill(CancelReason reason) noexcept {
    connection_->session_.kill(stream_, reason);
    connection_->touch();
}

void MuxCall::consumed(std::size_t size) noexcept {
    connection_->session_.consumed(stream_, size);
    connection_->touch();  // credit may have to be told
}

}  // namespace stator::transport
