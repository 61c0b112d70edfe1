#include "transport/dynamo_answer.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stator/base/text.hpp"
#include "stator/net/listener.hpp"
#include "stator/runtime/timer.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_plane.hpp"
#include "transport/dynamo_server_call.hpp"
#include "transport/dynamo_stream.hpp"

namespace stator::transport {
namespace {

/// What a client says on this connection is a word at a time.
constexpr dynamo::MessageLimits word_limits{.header = 64, .body = 0};

Task<std::unique_ptr<net::Stream>> dial(
    net::Security security, net::Address address, Duration limit
) {
    // The original publishes numbers only.
    if (!address.is_numeric())
        address.host = co_await with_deadline(Deadline::in(limit), net::resolve(address.host));
    auto stream = security.start_dial(address);
    if (!stream) throw stream.error();
    co_return std::move(*stream);
}

}  // namespace

DynamoAnswer::LimitTimer::LimitTimer(DynamoAnswer& answer_) noexcept
    : Timer{[](Timer& timer) noexcept { static_cast<LimitTimer&>(timer).answer.on_limit(); }},
      answer{answer_} {}

DynamoAnswer::DynamoAnswer(DynamoPlane& plane, Home home, PayloadCodec codec)
    : plane_{plane},
      loop_{*Loop::current()},
      home_{std::move(home)},
      codec_{codec},
      reader_{word_limits} {
    plane_.answer_opened();
    // They leave together with the first items, if those are ready at once.
    dynamo::put_handshake(link_.output(), home_.info.subject, dynamo::StreamType::response);
    dynamo::put_prologue(link_.output());
}

DynamoAnswer::~DynamoAnswer() {
    loop_.remove_timer(timer_);
    left();
    plane_.answer_closed();
}

void DynamoAnswer::expect_input(const Home& home) {
    input_ = std::make_unique<DynamoInput>(*this, home.address, home.info.subject, plane_.config());
}

Task<> DynamoAnswer::run(std::shared_ptr<DynamoAnswer> self) {
    const auto& config = self->plane_.config();
    // A handler that was quick has ended already.
    self->limit(
        self->ended_ ? std::min(config.connect_timeout, config.close_timeout)
                     : config.connect_timeout
    );
    auto stream = co_await as_result(
        dial(self->plane_.security(), self->home_.address, config.connect_timeout)
    );
    if (stream) {
        co_await self->link_.run(std::move(*stream));
    } else {
        self->lost(stream.error());
    }
    self->close();
}

Task<> DynamoAnswer::run_input(std::shared_ptr<DynamoAnswer> self) {
    const auto& plane = self->plane_;
    auto stream = co_await as_result(
        dial(plane.security(), self->input_->address(), plane.config().connect_timeout)
    );
    if (stream) {
        co_await self->input_->run(std::move(*stream));
    } else {
        self->unreachable(self->input_->address(), stream.error());
        self->kill(CancelReason::peer_gone);
    }
}

SendStatus DynamoAnswer::send(Bytes item, bool end) {
    if (link_.closed() || ended_) return SendStatus::gone;
    dynamo::put_item(link_.output(), codec_, std::move(item));
    if (end) {
        finish();
    } else {
        link_.touch();
    }
    return link_.full() ? SendStatus::wait : SendStatus::more;
}

void DynamoAnswer::end() noexcept {
    if (!ended_) finish();
}

void DynamoAnswer::fail(const Error& error) noexcept {
    if (ended_ || link_.closed()) return;
    // As an item even if it is the first: routers put a worker aside whose prologue has an error.
    dynamo::put_message(link_.output(), {}, dynamo::write_error_item(codec_, error));
    finish();
}

void DynamoAnswer::finish() noexcept {
    ended_ = true;
    if (input_) input_->close();
    if (link_.closed()) return;
    dynamo::put_final(link_.output(), codec_);
    dynamo::put_word(link_.output(), dynamo::Word::sentinel);
    left_ = false;
    plane_.answer_ended();
    // A client that does not even read is not waited for without a bound.
    limit(plane_.config().close_timeout);
    link_.touch();
}

void DynamoAnswer::left() noexcept {
    if (!std::exchange(left_, true)) plane_.answer_left();
}

void DynamoAnswer::consumed(std::size_t size) noexcept {
    if (input_) input_->consumed(size);
}

void DynamoAnswer::released() noexcept {
    call_ = nullptr;
    fail(Error{ErrorCode::internal, "transport.abandoned", "the handler ended without an answer"});
}

void DynamoAnswer::take(Bytes item) {
    if (call_ != nullptr) call_->take(std::move(item), false);
}

void DynamoAnswer::input_ended() noexcept {
    if (call_ != nullptr) call_->half_closed();
}

void DynamoAnswer::stop() noexcept {
    if (std::exchange(stopped_, true) || call_ == nullptr || ended_) return;
    call_->stopped(CancelReason::requested);
}

void DynamoAnswer::kill(CancelReason reason) noexcept {
    auto* call = std::exchange(call_, nullptr);
    if (call != nullptr && !ended_) call->killed(reason);
    close();
}

void DynamoAnswer::close() noexcept {
    link_.close();
    if (input_) input_->close();
    loop_.remove_timer(timer_);
    left();
}

void DynamoAnswer::violated(const Error& error) noexcept {
    plane_.violated(home_.address, error);
    kill(CancelReason::peer_gone);
}

void DynamoAnswer::unreachable(const net::Address& address, const Error& why) noexcept {
    if (why.code() != ErrorCode::cancelled) plane_.call_home_failed(address, why);
}

void DynamoAnswer::received(std::size_t size) {
    reader_.received(size);
    while (!link_.closed()) {
        const auto read = reader_.next();
        if (!read) return violated(read.error());
        const auto& message = *read;
        if (!message) return;
        if (const auto good = hear(*message); !good) return violated(good.error());
    }
}

Result<void> DynamoAnswer::hear(const dynamo::Message& message) {
    const auto word = dynamo::read_word(message.header);
    if (!word) return std::unexpected{word.error()};
    if (*word == dynamo::Word::sentinel) {
        return stator::fail(
            ErrorCode::protocol, "dynamo.bad_word", "a sentinel from the reader of an answer"
        );
    }
    if (*word == dynamo::Word::stop) {
        stop();
    } else {
        kill(CancelReason::requested);
    }
    return {};
}

void DynamoAnswer::peer_finished() noexcept {
    // A client that has closed looks the same as one that only says no more: a write will tell.
    peer_finished_ = true;
    if (ended_ && left_) link_.close();
}

void DynamoAnswer::writable() noexcept {
    if (call_ != nullptr) call_->sent();
}

void DynamoAnswer::all_written() noexcept {
    if (left_) return;
    left();
    // Who closes first keeps the port for a while: that is left to the client.
    if (peer_finished_) return link_.close();
    limit(plane_.config().close_timeout);
}

void DynamoAnswer::lost(const Error& why) noexcept {
    // TLS may be refused after what was written first.
    if (!link_.connected() || why.code() == ErrorCode::unavailable) unreachable(home_.address, why);
    kill(why.code() == ErrorCode::cancelled ? CancelReason::shutdown : CancelReason::peer_gone);
}

void DynamoAnswer::limit(Duration time) noexcept {
    if (link_.closed()) return;
    loop_.remove_timer(timer_);
    seen_written_ = link_.written();
    timer_.when = loop_.now() + time;
    loop_.add_timer(timer_);
}

void DynamoAnswer::on_limit() noexcept {
    const bool silent_input = input_ && !input_->closed() && !input_->connected();
    if (!link_.connected() || silent_input) {
        unreachable(
            silent_input ? input_->address() : home_.address,
            Error{ErrorCode::deadline_exceeded, "dynamo.call_home_timeout", "no answer in time"}
        );
        return kill(CancelReason::peer_gone);
    }
    if (!ended_) return;
    if (!left_ && link_.written() != seen_written_) return limit(plane_.config().close_timeout);
    close();
}

}  // namespace stator::transport
