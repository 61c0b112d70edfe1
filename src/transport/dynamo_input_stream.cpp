#include "transport/dynamo_input_stream.hpp"

#include <utility>

#include "stator/runtime/loop.hpp"
#include "transport/dynamo_stream.hpp"

namespace stator::transport {

using dynamo::Word;

DynamoInputStream::DynamoInputStream(Owner& owner, std::shared_ptr<CallHomeServer> home)
    : owner_{owner}, home_{std::move(home)}, link_{*this} {
    subject_ = home_->expect(*this, CallHomeServer::Direction::request);
}

DynamoInputStream::~DynamoInputStream() { forget(); }

void DynamoInputStream::forget() noexcept {
    if (subject_) home_->forget(*std::exchange(subject_, std::nullopt));
}

void DynamoInputStream::on_home(net::Accepted connection, Bytes) noexcept {
    subject_.reset();
    try {
        auto stream = std::move(connection).attach();
        connected_ = true;
        owner_.tasks().spawn(run(owner_.keep(), this, std::move(stream)));
    } catch (const Error& error) {
        lost(error);
    }
}

Task<> DynamoInputStream::run(
    std::shared_ptr<void> keep, DynamoInputStream* self, std::unique_ptr<net::Stream> stream
) {
    co_await self->link_.run(std::move(stream));
    keep.reset();
}

bool DynamoInputStream::put(Bytes item) {
    if (unwanted_) return false;
    dynamo::put_message(link_.output(), {}, std::move(item));
    link_.touch();
    return true;
}

void DynamoInputStream::half_close() {
    if (unwanted_) return;
    dynamo::put_word(link_.output(), Word::sentinel);
    link_.touch();
}

void DynamoInputStream::stop() {
    if (std::exchange(unwanted_, true)) return;
    dynamo::put_word(link_.output(), Word::stop);
    link_.touch();
    owner_.input_writable();
}

void DynamoInputStream::close(bool kill) noexcept {
    forget();
    unwanted_ = true;
    // A kill behind what the worker does not read would not arrive; the reset says the same.
    if (!kill || !connected_ || link_.full()) return link_.close();
    dynamo::put_word(link_.output(), Word::kill);
    link_.touch();
    link_.close_when_written();
}

std::size_t DynamoInputStream::space(std::array<iovec, 2>& vectors) {
    vectors[0] = {ignored_.data(), ignored_.size()};
    return 1;
}

void DynamoInputStream::peer_finished() noexcept {
    unwanted_ = true;
    link_.close();
    owner_.input_writable();
}

void DynamoInputStream::writable() noexcept { owner_.input_writable(); }

void DynamoInputStream::lost(const Error&) noexcept {
    unwanted_ = true;
    owner_.input_writable();
}

}  // namespace stator::transport
