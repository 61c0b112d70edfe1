#include "transport/dynamo_exchange.hpp"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "stator/codec/transcode.hpp"
#include "transport/dynamo_stream.hpp"

namespace stator::transport {

using dynamo::Word;
using namespace std::chrono_literals;

namespace {

/// The worker closes its answer with a word of its own behind the final frame; it gets so long.
constexpr auto last_word_timeout = 1s;
/// What an item that nobody has taken costs besides its bytes.
constexpr std::size_t item_overhead = 64;
/// Our deadline in microseconds, for workers that know it; others hand it to their handlers as they
/// do with all metadata.
constexpr std::string_view remaining_key = "x-stator-remaining-us";

std::string hex(std::span<const std::byte> bytes) {
    std::string text;
    for (const auto byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return text;
}

std::string traceparent(const TraceContext& trace) {
    return fmt::format("00-{}-{}-{:02x}", hex(trace.trace_id), hex(trace.span_id), trace.flags);
}

dynamo::TransportHeaders transport_headers(const CallHead& head) {
    dynamo::TransportHeaders headers;
    headers.request_id = head.request.to_string();
    headers.sent_at_ns = static_cast<std::uint64_t>(
        std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count()
    );
    if (head.trace) {
        headers.traceparent = traceparent(*head.trace);
        if (!head.trace->state.empty()) headers.tracestate = std::string{head.trace->state};
    }
    return headers;
}

void add_metadata(const CallHead& head, dynamo::ControlHeader& control) {
    for (const auto& [key, value] : head.headers) control.metadata.emplace_back(key, value);
    if (head.remaining.count() > 0)
        control.metadata.emplace_back(remaining_key, std::to_string(head.remaining.count()));
}

Error lost_worker(std::string_view detail, std::string_view message, const Error* cause) {
    const Error error{ErrorCode::disconnected, std::string{detail}, std::string{message}};
    return cause == nullptr ? error : error.with_cause(*cause);
}

}  // namespace

DynamoExchange::DynamoExchange(
    DynamoCall& call,
    std::shared_ptr<RequestCarrier> carrier,
    std::shared_ptr<CallHomeServer> home,
    std::string_view path,
    PayloadCodec codec
)
    : Timer{[](Timer& timer) noexcept { static_cast<DynamoExchange&>(timer).on_time(); }},
      call_{&call},
      loop_{*Loop::current()},
      carrier_{std::move(carrier)},
      home_{std::move(home)},
      path_{path},
      codec_{codec},
      reader_{
          {.header = dynamo::default_max_header, .body = carrier_->config().max_item},
          carrier_->config().process
      },
      link_{*this} {}

DynamoExchange::~DynamoExchange() { loop_.remove_timer(*this); }

// ---- asking

Result<void> DynamoExchange::open(const CallHead& head, const Bytes* request) {
    const auto codec = payload_codec_from_wire(head.codec);
    if (!codec || *codec == PayloadCodec::raw) {
        return stator::fail(
            ErrorCode::invalid_request,
            "dynamo.raw_codec",
            "a worker of the Dynamo plane takes json or msgpack, not raw bytes"
        );
    }
    callers_codec_ = *codec;
    one_item_ = one_response(head.shape);
    Bytes body;
    if (request != nullptr) {
        auto rewritten = body_of(*request);
        if (!rewritten) return std::unexpected{std::move(rewritten).error()};
        body = std::move(*rewritten);
    } else {
        input_ = std::make_unique<DynamoInputStream>(*this, home_);
    }
    subject_ = home_->expect(*this, CallHomeServer::Direction::response);
    auto sent = send_request(head, std::move(body));
    if (!sent) {
        home_->forget(*std::exchange(subject_, std::nullopt));
        input_.reset();
        return sent;
    }
    phase_ = Phase::asked;
    wait_at_most(carrier_->config().ack_timeout);
    return {};
}

Result<Bytes> DynamoExchange::body_of(const Bytes& request) const {
    if (request.empty()) {
        return stator::fail(
            ErrorCode::invalid_request, "dynamo.empty_request", "the request is no value"
        );
    }
    auto body = transcode(request, callers_codec_, codec_);
    if (!body) {
        return std::unexpected{body.error().with_context(
            fmt::format("rewriting the request for a worker that takes {}", to_string(codec_))
        )};
    }
    return body;
}

dynamo::ConnectionInfo DynamoExchange::where_to_call(
    const CallHead& head, dynamo::StreamType type, const CallHomeServer::Subject& subject
) const {
    dynamo::ConnectionInfo info;
    info.address = home_->address();
    info.subject = subject.to_string();
    info.context = head.request.to_string();
    info.stream_type = type;
    return info;
}

Result<void> DynamoExchange::send_request(const CallHead& head, Bytes body) {
    dynamo::ControlHeader control;
    control.id = head.request.to_string();
    control.many_in = input_ != nullptr;
    control.codec = codec_;
    control.connection = where_to_call(head, dynamo::StreamType::response, *subject_);
    if (input_) {
        control.request_stream =
            where_to_call(head, dynamo::StreamType::request, input_->subject());
    }
    add_metadata(head, control);
    const auto control_text = dynamo::write_control(control);
    if (!control_text) return std::unexpected{control_text.error()};
    auto sent = carrier_->send(
        *this, path_, transport_headers(head), control_text->view(), std::move(body)
    );
    // One that has to wait is sent later.
    if (!sent && sent.error().code() != ErrorCode::overloaded) carrier_->count_failure();
    return sent;
}

// ---- what the caller wants

SendStatus DynamoExchange::send(Bytes item) {
    if (!input_ || phase_ == Phase::ended) return SendStatus::gone;
    auto rewritten = transcode(item, callers_codec_, codec_);
    if (!rewritten) throw rewritten.error().with_context("rewriting an item of the request");
    if (rewritten->size() > carrier_->config().max_item) {
        throw Error{
            ErrorCode::payload_too_large,
            "dynamo.item_too_large",
            fmt::format(
                "an item of {} bytes, at most {} are sent",
                rewritten->size(),
                carrier_->config().max_item
            )
        };
    }
    if (!input_->put(std::move(*rewritten))) return SendStatus::gone;
    return input_->full() ? SendStatus::wait : SendStatus::more;
}

void DynamoExchange::half_close() noexcept {
    if (input_ && phase_ != Phase::ended) input_->half_close();
}

void DynamoExchange::stop() noexcept {
    if (phase_ == Phase::ended || std::exchange(stopped_, true)) return;
    if (input_) input_->stop();
    if (phase_ == Phase::called || phase_ == Phase::answered) {
        dynamo::put_word(link_.output(), Word::stop);
        link_.touch();
    }
}

void DynamoExchange::kill() noexcept {
    if (phase_ == Phase::closed || phase_ == Phase::ended) return;
    const bool connected = phase_ == Phase::called || phase_ == Phase::answered;
    finish(true);
    if (connected) hang_up();
}

void DynamoExchange::drop() noexcept {
    kill();
    call_ = nullptr;
}

void DynamoExchange::instance_gone() noexcept {
    // One that has called home is there, whatever discovery says.
    if (phase_ != Phase::asked && phase_ != Phase::accepted) return;
    if (phase_ == Phase::asked) carrier_->count_failure();
    fail(
        lost_worker("dynamo.instance_gone", "the worker left before its answer began", nullptr),
        CallFate::not_accepted
    );
}

void DynamoExchange::consumed(std::size_t size) {
    booked_.taken();
    untaken_ -= std::min(untaken_, size + item_overhead);
    if (!link_.paused() || untaken_ > carrier_->config().most_untaken / 2) return;
    link_.resume();
    read_on();
}

void DynamoExchange::input_writable() noexcept {
    if (call_ != nullptr && phase_ != Phase::ended) call_->writable();
}

// ---- until the answer begins

void DynamoExchange::on_ack(const std::string& text) noexcept {
    if (phase_ != Phase::asked) {
        carrier_->forget(*this);  // the answer has come before it
        return;
    }
    if (!text.empty()) return fail(dynamo::refusal_error(text), CallFate::refused);
    phase_ = Phase::accepted;
    wait_at_most(carrier_->config().home_timeout);
}

void DynamoExchange::on_lost(const Error& why) noexcept {
    if (phase_ != Phase::asked && phase_ != Phase::accepted) return;
    if (phase_ == Phase::asked) carrier_->count_failure();
    fail(
        lost_worker("dynamo.lost_unanswered", "the worker was lost before its answer began", &why),
        CallFate::not_accepted
    );
}

void DynamoExchange::on_home(net::Accepted connection, Bytes rest) noexcept {
    const auto self = shared_from_this();
    subject_.reset();
    if (phase_ == Phase::accepted) carrier_->forget(*this);
    phase_ = Phase::called;
    if (stopped_) {
        dynamo::put_word(link_.output(), Word::stop);
        link_.touch();
    }
    if (!rest.empty()) {
        reader_.feed(rest.span());
        read_on();
    }
    if (link_.closed()) return;  // that was all
    if (phase_ == Phase::called) wait_at_most(carrier_->config().prologue_timeout);
    try {
        tasks().spawn(run(self, std::move(connection).attach()));
    } catch (const Error& error) {
        lost(error);
    }
}

Task<> DynamoExchange::run(
    std::shared_ptr<DynamoExchange> self, std::unique_ptr<net::Stream> stream
) {
    co_await self->link_.run(std::move(stream));
    self->loop_.remove_timer(*self);
}

// ---- the answer

void DynamoExchange::received(std::size_t size) {
    reader_.received(size);
    read_on();
}

void DynamoExchange::rested() {
    if (untaken_ >= carrier_->config().most_untaken) return;  // `consumed` goes on
    link_.resume();
    read_on();
}

void DynamoExchange::peer_finished() noexcept {
    cut_off_ = true;
    if (!link_.paused()) stream_over();
}

/// The end alone would say only that nothing more comes from here.
void DynamoExchange::cancelled() noexcept {
    if (phase_ == Phase::called || phase_ == Phase::answered)
        dynamo::put_word(link_.output(), Word::kill);
}

void DynamoExchange::lost(const Error& why) noexcept {
    cut_ = why;
    cut_off_ = true;
    if (!link_.paused()) stream_over();
}

void DynamoExchange::read_on() {
    // Taking an item may make the consumer ask for more.
    if (std::exchange(reading_, true)) return;
    const auto self = shared_from_this();
    bool more = true;
    while (more && !link_.paused()) {
        auto message = reader_.next();
        if (!message) {
            violated(std::move(message).error());
            more = false;
        } else if (auto& there = *message) {
            take(std::move(*there));
            more = !last_word_ && !link_.closed();
        } else {
            if (reader_.starved()) link_.rest();
            more = false;
        }
    }
    reading_ = false;
    if (link_.paused()) return;
    // Only now, for what came with the final frame may contradict it.
    if (final_ && phase_ == Phase::answered) end_well();
    if (cut_off_) stream_over();
}

void DynamoExchange::take(dynamo::Message message) {
    switch (phase_) {
        case Phase::called:
            return take_prologue(message);
        case Phase::answered:
            return message.header.empty() ? take_item(std::move(message)) : take_word(message);
        default:
            return link_.close();  // the last word, or one too many
    }
}

void DynamoExchange::take_prologue(const dynamo::Message& message) {
    if (message.header.empty() || !message.body.empty()) {
        return violated(Error{
            ErrorCode::protocol, "dynamo.bad_prologue", "the answer does not begin with a prologue"
        });
    }
    const auto prologue = dynamo::read_prologue(message.header);
    if (!prologue) return violated(prologue.error());
    if (const auto error = prologue->error()) {
        link_.close();
        return fail(*error, CallFate::not_accepted);
    }
    phase_ = Phase::answered;
    loop_.remove_timer(*this);
    if (call_ != nullptr) call_->mark_accepted();
}

void DynamoExchange::take_word(const dynamo::Message& message) {
    const auto word = dynamo::read_word(message.header);
    if (!word || *word != Word::sentinel || !message.body.empty()) {
        const Error cause{ErrorCode::protocol, "dynamo.bad_word", "no word of a worker"};
        return violated(
            lost_worker("dynamo.bad_word", "the answer ended with an unknown word", &cause)
        );
    }
    last_word_ = cut_off_ = true;
}

void DynamoExchange::take_item(dynamo::Message message) {
    if (final_) {
        return violated(Error{
            ErrorCode::protocol, "dynamo.item_after_end", "an item came behind the final frame"
        });
    }
    auto item = dynamo::read_item(message.body, codec_);
    if (!item) return violated(std::move(item).error());
    if (auto error = item->error()) return violated(std::move(*error));
    if (!item->present && !item->last) {
        return violated(
            Error{ErrorCode::protocol, "dynamo.empty_item", "an item came with nothing in it"}
        );
    }
    final_ = item->last;
    // Annotations alone are an item only to those who want to see them.
    auto value =
        annotated_ ? dynamo::annotated_object(message.body, codec_) : std::move(item->data);
    if (value.empty()) return;
    deliver(std::move(value), std::move(message.booked), item->last);
}

void DynamoExchange::deliver(Bytes value, Reservation booked, bool last) {
    auto rewritten = transcode(value, codec_, callers_codec_);
    if (!rewritten) return violated(std::move(rewritten).error().with_context("rewriting an item"));
    booked_.put(std::move(booked));
    if (held_) {  // more than one: no unary answer, so they go as they come
        one_item_ = false;
        untaken_ += held_->size() + item_overhead;
        call_->take(std::move(*std::exchange(held_, std::nullopt)), false);
    }
    if (one_item_ && !last) {
        held_ = std::move(*rewritten);
        return;
    }
    untaken_ += rewritten->size() + item_overhead;
    call_->take(std::move(*rewritten), false);
    if (untaken_ >= carrier_->config().most_untaken) link_.pause();
}

/// Nothing more will come.
void DynamoExchange::stream_over() {
    const auto* cause = cut_ ? &*cut_ : nullptr;
    if (phase_ == Phase::answered && (final_ || stopped_)) {
        end_well();
    } else if (phase_ == Phase::called && stopped_) {
        end_well();  // it has stopped before it began
    } else if (phase_ == Phase::answered) {
        fail(
            lost_worker(
                "dynamo.stream_incomplete", "the answer ended before it was complete", cause
            ),
            CallFate::accepted
        );
    } else if (phase_ == Phase::called) {
        fail(
            lost_worker(
                "dynamo.lost_before_prologue", "the worker left before its answer began", cause
            ),
            CallFate::not_accepted
        );
    }
    link_.close();
}

// ---- the end

void DynamoExchange::wait_at_most(Duration bound) {
    due_ = loop_.now() + bound;
    if (waiting() && when <= due_) return;  // early is harmless
    loop_.remove_timer(*this);
    when = due_;
    loop_.add_timer(*this);
}

void DynamoExchange::on_time() noexcept {
    if (loop_.now() < due_) {
        when = due_;
        return loop_.add_timer(*this);
    }
    const auto too_late = [this](std::string_view detail, std::string_view message) {
        fail(
            Error{ErrorCode::unavailable, std::string{detail}, std::string{message}},
            CallFate::not_accepted
        );
    };
    switch (phase_) {
        case Phase::asked:
            carrier_->count_failure();
            carrier_->retire();
            return too_late("dynamo.no_ack", "the worker did not acknowledge the request in time");
        case Phase::accepted:
            return too_late("dynamo.no_call_home", "the worker did not call home in time");
        case Phase::called:
            too_late("dynamo.no_prologue", "the worker did not begin its answer in time");
            return hang_up();
        default:
            return link_.close();
    }
}

/// The call is over: nothing that concerns it is waited for any more.
void DynamoExchange::finish(bool kill) noexcept {
    phase_ = Phase::ended;
    loop_.remove_timer(*this);
    if (subject_) home_->forget(*std::exchange(subject_, std::nullopt));
    carrier_->forget(*this);
    if (input_) input_->close(kill);
}

void DynamoExchange::end_well() {
    finish(false);
    if (held_) {
        call_->take(std::move(*std::exchange(held_, std::nullopt)), true);
    } else {
        call_->ended();
    }
    if (!cut_off_) wait_at_most(last_word_timeout);
}

void DynamoExchange::fail(const Error& error, CallFate fate) noexcept {
    finish(true);
    held_.reset();
    call_->failed(error, fate);
}

/// What came ends the answer here; the worker may still be at it.
void DynamoExchange::violated(Error error) {
    if (phase_ == Phase::ended) return link_.close();
    fail(error, phase_ == Phase::called ? CallFate::not_accepted : CallFate::accepted);
    hang_up();
}

void DynamoExchange::hang_up() noexcept {
    dynamo::put_word(link_.output(), Word::kill);
    link_.touch();
    link_.close_when_written();
}

}  // namespace stator::transport
