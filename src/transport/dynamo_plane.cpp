#include "transport/dynamo_plane.hpp"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"
#include "transport/dynamo_connection.hpp"
#include "transport/dynamo_error.hpp"
#include "transport/dynamo_request.hpp"
#include "transport/dynamo_server_call.hpp"

namespace stator::transport {
namespace {

/// How long a client gets to close first, and how many may take so long.
constexpr auto departure_time = std::chrono::milliseconds{50};
constexpr std::size_t most_departures = 128;

/// Whether the request is to blame: its sender is told by an item, for a refusal would make routers
/// put the instance aside.
bool is_bad_request(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::invalid_request:
        case ErrorCode::unauthenticated:
        case ErrorCode::permission_denied:
        case ErrorCode::payload_too_large:
        case ErrorCode::protocol:
        case ErrorCode::unimplemented:
            return true;
        default:
            return false;
    }
}

Error bad_request(std::string detail, std::string message) {
    return Error{ErrorCode::invalid_request, std::move(detail), std::move(message)};
}

/// What is wrong with a request that can be answered.
std::optional<Error> fault_of(const dynamo::ControlHeader& control, const Bytes& body) {
    if (!control.many_in) {
        if (!body.empty()) return std::nullopt;
        return bad_request("dynamo.no_body", "the request has no body");
    }
    // read_control has seen to it that there is one.
    const auto stream = control.request_stream.value_or(dynamo::ConnectionInfo{});
    if (stream.is_tcp() && net::Address::parse(stream.address)) return std::nullopt;
    return bad_request(
        "dynamo.bad_request_stream",
        fmt::format(
            "the request's stream cannot be reached by {} at {}",
            quoted_text(stream.transport),
            quoted_text(stream.address)
        )
    );
}

/// The acknowledgement of a request for which this process lacks something.
std::string out_of(std::string_view counter) {
    sink().count(counter, 1);
    return dynamo::refusal_text(
        Error{ErrorCode::overloaded, "dynamo.out_of_resources", "this process is at its limits"}
    );
}

}  // namespace

DynamoPlane::DynamoPlane(Loop& loop, Options options)
    : loop_{loop},
      options_{std::move(options)},
      failures_{std::chrono::seconds{10}},
      calls_{options_.requests},
      links_{options_.transports} {}

DynamoPlane::DepartureTimer::DepartureTimer(DynamoPlane& plane_) noexcept
    : Timer{[](Timer& timer) noexcept {
          static_cast<DepartureTimer&>(timer).plane.close_departed();
      }},
      plane{plane_} {}

DynamoPlane::~DynamoPlane() = default;

Task<> DynamoPlane::serve(std::unique_ptr<net::Stream> stream, Bytes sniffed) {
    DynamoConnection connection{*this, stream->remote()};
    co_await connection.run(std::move(stream), std::move(sniffed));
}

Dialled DynamoPlane::start_dial(const net::Address& address) const {
    if (options_.dial) return options_.dial(address);
    if (!address.is_numeric()) return std::nullopt;
    return options_.security.start_dial(address);
}

std::optional<Result<net::Outgoing>> DynamoPlane::open_outgoing(const net::Address& address) const {
    if (options_.dial || !address.is_numeric()) return std::nullopt;
    return options_.security.open_outgoing(address);
}

std::string DynamoPlane::accept(
    dynamo::RequestFrame frame, const net::Address& from, TellRefusals refusals
) {
    if (frame.dropped) return out_of("dynamo_requests_out_of_memory_total");
    auto message = dynamo::split_message(frame.payload);
    if (!message) return undecodable(from, message.error());
    auto control = dynamo::read_control(message->header);
    if (!control) {
        const auto home = dynamo::find_call_home(message->header);
        if (!home || !net::Address::parse(home->info.address))
            return undecodable(from, control.error());
        violated(from, control.error());
        return answer_error(
            home->info,
            home->codec,
            bad_request(control.error().detail(), control.error().message())
        );
    }
    const auto& home = control->connection;
    if (!home.is_tcp()) {
        return undecodable(
            from,
            bad_request(
                "dynamo.response_plane",
                fmt::format(
                    "response plane mismatch: frontend requested {}, worker configured tcp_server",
                    quoted_text(home.transport)
                )
            )
        );
    }
    if (const auto address = net::Address::parse(home.address); !address)
        return undecodable(from, address.error());
    if (answers_ >= options_.config.max_answers) {
        return dynamo::refusal_text(
            Error{ErrorCode::overloaded, "dynamo.too_many_answers", "too many open answers"}
        );
    }
    if (const auto fault = fault_of(*control, message->body))
        return answer_error(home, control->codec, *fault);
    return serve_request(std::move(frame), std::move(*control), std::move(message->body), refusals);
}

std::string DynamoPlane::serve_request(
    dynamo::RequestFrame frame, dynamo::ControlHeader control, Bytes body, TellRefusals refusals
) {
    const auto home_of = [](const dynamo::ConnectionInfo& info) {
        return DynamoAnswer::Home{info, *net::Address::parse(info.address)};
    };
    const auto codec = control.codec;
    const auto answer = std::make_shared<DynamoAnswer>(*this, home_of(control.connection), codec);
    auto served = std::make_unique<DynamoServerCall>(
        answer,
        options_.config.max_item,
        calls_.token().child_token(),
        std::exchange(frame.booked, {})
    );
    if (control.many_in && control.request_stream) {
        answer->expect_input(home_of(*control.request_stream));
    } else {
        served->take(std::move(body), true);
    }
    auto token = served->token();
    std::unique_ptr<ServerCall> call{std::move(served)};
    const dynamo::Request request{frame, std::move(control)};
    auto serving = options_.dispatcher->dispatch(call, request.head());
    const bool told_by_answer =
        !serving && (refusals == TellRefusals::by_answer || is_bad_request(serving.error().code()));
    if (told_by_answer) return answer_error(answer, serving.error());
    if (!serving) {
        answer->discard();
        if (serving.error().code() == ErrorCode::not_found)
            return fmt::format("Server unavailable: unknown endpoint {}", frame.path);
        return dynamo::refusal_text(serving.error());
    }
    if (!answer->dial()) {
        answer->discard();
        return out_of("dynamo_requests_out_of_descriptors_total");  // its task has not begun
    }
    // In this order: what the handler has ready leaves with the handshake.
    Loop& begins_on = serving->loop == nullptr ? loop_ : *serving->loop;
    calls_.spawn_on(begins_on, std::move(serving->task), std::move(token));
    if (answer->has_input()) links_.spawn(DynamoAnswer::run_input(answer));
    links_.spawn(DynamoAnswer::run(answer));
    return {};
}

/// Nobody can be told but by the acknowledgement, after which a client goes elsewhere.
std::string DynamoPlane::undecodable(const net::Address& from, const Error& error) {
    sink().count("dynamo_undecodable_requests_total", 1);
    violated(from, error);
    return dynamo::refusal_text(error);
}

std::string DynamoPlane::answer_error(
    const dynamo::ConnectionInfo& info, PayloadCodec codec, const Error& error
) {
    const auto answer = std::make_shared<DynamoAnswer>(
        *this, DynamoAnswer::Home{info, *net::Address::parse(info.address)}, codec
    );
    return answer_error(answer, error);
}

std::string DynamoPlane::answer_error(
    const std::shared_ptr<DynamoAnswer>& answer, const Error& error
) {
    answer->fail(error);
    if (!answer->dial()) {
        answer->discard();
        return out_of("dynamo_requests_out_of_descriptors_total");
    }
    links_.spawn(DynamoAnswer::run(answer));
    return {};
}

void DynamoPlane::see_off(net::Outgoing connection) {
    if (departures_.size() >= most_departures) departures_.pop_front();
    departures_.push_back({std::move(connection), loop_.now()});
    if (departure_timer_.waiting()) return;
    departure_timer_.when = departures_.front().since + departure_time;
    loop_.add_timer(departure_timer_);
}

void DynamoPlane::close_departed() noexcept {
    const auto until = loop_.now() - departure_time;
    while (!departures_.empty() && departures_.front().since <= until) departures_.pop_front();
    if (departures_.empty()) return;
    departure_timer_.when = departures_.front().since + departure_time;
    loop_.add_timer(departure_timer_);
}

void DynamoPlane::answer_left() noexcept {
    if (--unsent_ == 0) all_left_.set();
}

Task<> DynamoPlane::flushed() {
    while (unsent_ > 0) {
        all_left_.reset();
        co_await all_left_.wait();
    }
}

Task<> DynamoPlane::close() {
    co_await calls_.close(CancelReason::shutdown);
    co_await yield();  // what they said last is written at the end of a turn
    co_await links_.close(CancelReason::shutdown);
    loop_.remove_timer(departure_timer_);
    departures_.clear();
}

void DynamoPlane::violated(const net::Address& peer, const Error& error) noexcept {
    sink().count("dynamo_violations_total", 1);
    std::uint64_t held_back = 0;
    if (options_.violations != nullptr) {
        const auto admitted = options_.violations->admit(loop_.now());
        if (!admitted) return;
        held_back = *admitted;
    }
    sink().report(
        Severity::warn,
        "stator::transport",
        fmt::format("{}: {}{}", peer.to_string(), error.what(), and_unreported(held_back))
    );
}

void DynamoPlane::call_home_failed(const net::Address& address, const Error& why) noexcept {
    sink().count("dynamo_call_home_failures_total", 1);
    const auto held_back = failures_.admit(loop_.now());
    if (!held_back) return;
    sink().report(
        Severity::warn,
        "stator::transport",
        fmt::format(
            "an accepted request was killed: its client cannot be called at {}: {}{}",
            address.to_string(),
            why.what(),
            and_unreported(*held_back)
        )
    );
}

}  // namespace stator::transport
