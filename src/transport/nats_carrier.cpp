#include "stator/transport/nats_carrier.hpp"

#include <charconv>
#include <cstring>
#include <ranges>
#include <utility>

#include <fmt/format.h>

#include "stator/runtime/combinators.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/timer.hpp"
#include "transport/carrier_metrics.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_wire.hpp"
#include "transport/nats_wire.hpp"

namespace stator::transport {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t acks_in_a_turn = 256;

Bytes two_parts(std::string_view header, const Bytes& body) {
    auto* const made = Buffer::allocate(dynamo::message_prelude + header.size() + body.size());
    auto* const at = made->data();
    dynamo::store<std::uint64_t>(at, header.size());
    dynamo::store<std::uint64_t>(at + 8, body.size());
    dynamo::store<std::uint64_t>(at + 16, 0);
    std::memcpy(at + dynamo::message_prelude, header.data(), header.size());
    if (!body.empty())
        std::memcpy(at + dynamo::message_prelude + header.size(), body.data(), body.size());
    return Bytes::adopt(made, dynamo::message_prelude + header.size() + body.size());
}

std::vector<nats::Header> headers_of(const dynamo::TransportHeaders& from) {
    std::vector<nats::Header> headers;
    const auto add = [&](std::string_view key, const std::optional<std::string>& value) {
        if (value) headers.push_back({std::string{key}, *value});
    };
    add("request-id", from.request_id);
    if (from.sent_at_ns)
        headers.push_back({"x-frontend-send-ts-ns", std::to_string(*from.sent_at_ns)});
    add("traceparent", from.traceparent);
    add("tracestate", from.tracestate);
    headers.push_back({std::string{nats_wire::reads_acks}, std::string{nats_wire::reads_many}});
    return headers;
}

/// As requests by TCP say it.
Error congested(const Error& why) {
    return Error{ErrorCode::overloaded, "dynamo.congested", why.message()};
}

}  // namespace

NatsCarrier::NatsCarrier(nats::Client client, Options options)
    : client_{std::move(client)},
      options_{std::move(options)},
      inbox_{nats::Client::new_inbox()},
      answers_{options_.transports},
      scope_{options_.transports} {}

NatsCarrier::SendAtTurnEnd::SendAtTurnEnd(const nats::Client& client_) noexcept
    : TurnHook{[](TurnHook& hook) noexcept {
          static_cast<SendAtTurnEnd&>(hook).client.send_queued();
      }},
      client{client_} {}

NatsCarrier::~NatsCarrier() { client_.send_queued(); }

Task<std::shared_ptr<NatsCarrier>> NatsCarrier::open(nats::Client client, Options options) {
    std::shared_ptr<NatsCarrier> carrier{new NatsCarrier{std::move(client), std::move(options)}};
    nats::SubscribeOptions acks;
    acks.subjects = {carrier->inbox_ + ".*"};
    acks.tell_losses = true;
    carrier->acks_ = co_await carrier->client_.subscribe(std::move(acks));
    carrier->scope_.spawn(carrier->listen());
    co_return carrier;
}

Result<void> NatsCarrier::send(
    UnansweredRequest& request,
    std::string_view path,
    const dynamo::TransportHeaders& headers,
    std::string_view control,
    Bytes body
) {
    if (control.size() > dynamo::max_control_size ||
        control.size() + body.size() > options_.config.max_request) {
        return fail(
            ErrorCode::payload_too_large,
            "dynamo.frame_too_large",
            fmt::format("a request of {} bytes", control.size() + body.size())
        );
    }
    const auto number = next_++;
    nats::Publication made;
    made.subject = std::string{path};
    made.payload = two_parts(control, body);
    made.headers = headers_of(headers);
    made.reply = fmt::format("{}.{}", inbox_, number);
    if (const auto sent = client_.queue(std::move(made)); !sent) {
        const auto& error = sent.error();
        return std::unexpected{error.detail() == "nats.congested" ? congested(error) : error};
    }
    Loop::current()->at_turn_end(send_);
    request.number_ = number;
    request.acked_ = false;
    asked_.emplace(number, &request);
    return {};
}

void NatsCarrier::forget(UnansweredRequest& request) noexcept {
    if (!request.acked_) asked_.erase(request.number_);
    request.acked_ = true;
}

void NatsCarrier::count_failure() noexcept { carrier_metrics().nats_errors.add(); }

Task<> NatsCarrier::uncongested() {
    const auto self = shared_from_this();
    (void)co_await as_result(client_.flush(Deadline::in(1s)));
}

Task<> NatsCarrier::listen() {
    while (auto message = co_await acks_.next()) {
        std::size_t taken = 0;
        while (message) {
            take(*message);
            if (++taken == acks_in_a_turn) break;
            message = acks_.try_next();
        }
        if (taken == acks_in_a_turn) co_await yield();
    }
    lose_all(Error{ErrorCode::disconnected, "nats.closed", "the NATS client is closed"});
}

void NatsCarrier::take(const nats::Message& message) {
    if (message.status == nats::connection_lost) {
        return lose_all(Error{
            ErrorCode::disconnected,
            "nats.connection_lost",
            "the connection to the NATS server was lost"
        });
    }
    std::string_view number{message.subject};
    number.remove_prefix(std::min(number.size(), inbox_.size() + 1));
    if (message.status == nats::no_responders)
        return acknowledge(number, "Server unavailable: nobody has subscribed to its subject");
    acknowledge(number, message.payload.view().substr(0, dynamo::max_ack_size));
    const auto* const others = message.header(nats_wire::also_accepted);
    if (others == nullptr) return;
    for (const auto part : std::views::split(*others, ','))
        acknowledge(std::string_view{part.begin(), part.end()}, {});
}

void NatsCarrier::acknowledge(std::string_view digits, std::string_view refusal) {
    std::uint64_t number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const auto found = asked_.extract(number);
    if (found.empty()) return;  // nobody waits any more
    auto& request = *found.mapped();
    request.acked_ = true;
    request.on_ack(std::string{refusal});
}

void NatsCarrier::lose_all(const Error& why) noexcept {
    // One that is told may forget others.
    while (!asked_.empty()) {
        auto& request = *asked_.extract(asked_.begin()).mapped();
        request.acked_ = true;
        request.on_lost(why);
    }
}

Task<> NatsCarrier::close() {
    const auto self = shared_from_this();
    co_await scope_.close(CancelReason::shutdown);
    acks_.close();
    co_await answers_.close(CancelReason::shutdown);
}

}  // namespace stator::transport
