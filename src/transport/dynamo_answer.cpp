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

/// The original publishes numbers only.
Task<std::unique_ptr<net::Stream>> dial_by_name(DynamoPlane* plane, net::Address address) {
    const auto until = Deadline::in(plane->config().connect_timeout);
    address.host = co_await with_deadline(until, net::resolve(address.host));
    auto stream = plane->start_dial(address);
    if (!stream) throw Error{ErrorCode::internal, "a name was resolved to a name"};
    if (!*stream) throw stream->error();
    co_return std::move(**stream);
}

Task<Result<std::unique_ptr<net::Stream>>> dialled(
    DynamoPlane* plane, Dialled begun, net::Address address
) {
    if (begun) co_return std::move(*begun);
    co_return co_await as_result(dial_by_name(plane, std::move(address)));
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
      reader_{word_limits},
      link_{*this, plane.config().most_unwritten, plane.config().process.get()} {
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

namespace {

/// Why a call is refused before it is accepted: this process cannot connect to its home.
Result<void> shortage_of(const Dialled& dialled) {
    if (!dialled || *dialled || dialled->error().code() != ErrorCode::overloaded) return {};
    return std::unexpected{dialled->error()};
}

}  // namespace

Result<void> DynamoAnswer::dial() {
    // In the order in which the original connects.
    if (input_) {
        dialled_input_ = plane_.start_dial(input_->address());
        if (auto possible = shortage_of(dialled_input_); !possible) return possible;
    }
    // Connected when there is something to say: whoever accepts should find it there.
    if (auto opened = plane_.open_outgoing(home_.address); !opened) {
        dialled_ = plane_.start_dial(home_.address);
    } else if (*opened) {
        outgoing_ = std::move(**opened);
    } else {
        dialled_ = std::unexpected{std::move(*opened).error()};
    }
    return shortage_of(dialled_);
}

Task<> DynamoAnswer::run(std::shared_ptr<DynamoAnswer> self) {
    auto outgoing = std::exchange(self->outgoing_, std::nullopt);
    if (outgoing && self->leave_at_once(std::move(*outgoing))) co_return;
    const auto& config = self->plane_.config();
    // A handler that was quick has ended already.
    self->limit(
        self->ended_ ? std::min(config.connect_timeout, config.close_timeout)
                     : config.connect_timeout
    );
    auto stream = co_await dialled(&self->plane_, std::move(self->dialled_), self->home_.address);
    if (stream) {
        co_await self->link_.run(std::move(*stream));
    } else {
        self->lost(stream.error());
    }
    self->close();
}

/// Begins to connect. An answer that is complete already mostly fits into one write, behind which
/// there is nothing to wait for. True when it is over, one way or the other; else there is a
/// stream.
bool DynamoAnswer::leave_at_once(net::Outgoing connection) {
    if (link_.closed()) return true;
    if (const auto begun = connection.connect(); !begun) {
        lost(begun.error());
    } else if (ended_ && link_.write_first(connection)) {
        plane_.see_off(std::move(connection));
    } else if (!link_.closed()) {
        try {
            dialled_ = std::move(connection).attach();
            return false;
        } catch (const Error& error) {
            lost(error);
        }
    }
    close();
    return true;
}

Task<> DynamoAnswer::run_input(std::shared_ptr<DynamoAnswer> self) {
    auto stream =
        co_await dialled(&self->plane_, std::move(self->dialled_input_), self->input_->address());
    if (stream) {
        co_await self->input_->run(std::move(*stream));
    } else {
        self->unreachable(self->input_->address(), stream.error());
        self->kill(CancelReason::peer_gone);
    }
}

SendStatus DynamoAnswer::send(Bytes item, bool end, bool annotated) {
    if (link_.closed() || ended_) return SendStatus::gone;
    const auto form = annotated ? dynamo::ItemForm::annotated : dynamo::ItemForm::value;
    dynamo::put_item(link_.output(), codec_, std::move(item), false, form);
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
