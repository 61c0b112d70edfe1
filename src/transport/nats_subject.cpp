#include "stator/transport/nats_subject.hpp"

#include <chrono>
#include <utility>

#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_plane.hpp"
#include "transport/nats_acks.hpp"
#include "transport/nats_wire.hpp"

namespace stator::transport {

namespace {

constexpr std::size_t requests_in_a_turn = 64;

/// As those of a frame by TCP.
Bytes header_text(const nats::Message& message) {
    const auto value = [&](std::string_view key) -> std::optional<std::string> {
        const auto* const found = message.header(key);
        return found == nullptr ? std::nullopt : std::optional{*found};
    };
    dynamo::TransportHeaders headers;
    headers.request_id = value("request-id");
    headers.traceparent = value("traceparent");
    headers.tracestate = value("tracestate");
    return dynamo::write_headers(headers).value_or(Bytes{});
}

/// Told of in messages; NATS does not say more.
net::Address caller() { return net::Address{"nats", 0}; }

}  // namespace

NatsSubject::NatsSubject(nats::Client client, std::string subject, std::string path)
    : client_{std::move(client)}, subject_{std::move(subject)}, path_{std::move(path)} {}

SubjectCounts NatsSubject::counts() const {
    const std::lock_guard guard{lock_};
    return counts_;
}

Task<> NatsSubject::run(std::shared_ptr<NatsSubject> self, DynamoPlane* plane) {
    NatsAcks acks{self->client_};
    try {
        while (auto message = co_await self->requests_.next()) {
            std::size_t taken = 0;
            while (message) {
                self->take(*plane, *message, acks);
                if (++taken == requests_in_a_turn) break;
                message = self->requests_.try_next();
            }
            acks.send();
            if (taken == requests_in_a_turn) co_await yield();
        }
    } catch (const Error&) {
        self->requests_.close();
        self->ended_.set();
        throw;
    }
    self->ended_.set();
}

void NatsSubject::take(DynamoPlane& plane, const nats::Message& message, NatsAcks& acks) {
    const auto begin = std::chrono::steady_clock::now();
    dynamo::RequestFrame frame;
    frame.frame = header_text(message);
    frame.path = path_;
    frame.headers = frame.frame.view();
    frame.payload = message.payload;
    const auto* const reads_acks = message.header(nats_wire::reads_acks);
    auto refusal = plane.accept(
        std::move(frame), caller(), reads_acks ? TellRefusals::by_ack : TellRefusals::by_answer
    );
    if (refusal.empty() || !reads_acks) {
        acks.accepted(message.reply, reads_acks && *reads_acks == nats_wire::reads_many);
    } else {
        acks.refused(message.reply, refusal);
    }
    const std::lock_guard guard{lock_};
    ++counts_.requests;
    counts_.busy_ns += static_cast<std::uint64_t>(
        std::chrono::nanoseconds{std::chrono::steady_clock::now() - begin}.count()
    );
    if (refusal.empty()) return;
    ++counts_.refused;
    counts_.last_refusal = std::move(refusal);
}

Task<> NatsSubject::ended() { co_await ended_.wait(); }

Task<> NatsSubject::close(Deadline deadline) {
    requests_.drain();
    const auto ended = co_await as_result(with_deadline(deadline, this->ended()));
    if (!ended && ended.error().code() == ErrorCode::cancelled) throw ended.error();
}

}  // namespace stator::transport
