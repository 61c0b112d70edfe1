// NatsCarrier: requests of Dynamo's planes by NATS.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "stator/nats/client.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/transport/request_carrier.hpp"

namespace stator::transport {

/// One for all workers that one loop calls. A request goes to the subject of its worker's record,
/// its acknowledgement comes back to an inbox of this carrier, the answer by a call home, as on the
/// TCP plane. Where nobody has subscribed to the subject the server says so at once, which counts
/// as a refusal; requests without an acknowledgement when the connection is lost are lost.
///
/// Shared by its calls. Loop-affine. Ends by `close`; calls that go on end with `disconnected`.
class NatsCarrier final : public RequestCarrier, public std::enable_shared_from_this<NatsCarrier> {
public:
    struct Options {
        DynamoCallConfig config{};
        CancellationToken transports{};
    };
    /// Errors and cancel safety: as of nats::Client::subscribe.
    static Task<std::shared_ptr<NatsCarrier>> open(nats::Client client, Options options);
    ~NatsCarrier() override;

    /// Errors, besides: payload_too_large "nats.too_large" for more than the server takes.
    Result<void> send(
        UnansweredRequest& request,
        std::string_view path,
        const dynamo::TransportHeaders& headers,
        std::string_view control,
        Bytes body
    ) override;
    void forget(UnansweredRequest& request) noexcept override;
    Task<> uncongested() override;
    /// One worker that does not answer says nothing about the others.
    void retire() noexcept override {}
    void count_failure() noexcept override;
    const DynamoCallConfig& config() const noexcept override { return options_.config; }
    TaskScope& answers() noexcept override { return answers_; }

    Task<> close();

private:
    NatsCarrier(nats::Client client, Options options);
    Task<> listen();
    void take(const nats::Message& message);
    /// `refusal` empty: the request of that number is accepted.
    void acknowledge(std::string_view number, std::string_view refusal);
    void lose_all(const Error& why) noexcept;

    /// Requests of one turn go out together.
    struct SendAtTurnEnd : runtime::detail::TurnHook {
        explicit SendAtTurnEnd(const nats::Client& client_) noexcept;
        const nats::Client& client;
    };

    const nats::Client client_;
    SendAtTurnEnd send_{client_};
    const Options options_;
    const std::string inbox_;
    nats::Subscription acks_;
    std::unordered_map<std::uint64_t, UnansweredRequest*> asked_;
    std::uint64_t next_ = 1;
    TaskScope answers_;
    TaskScope scope_;
};

}  // namespace stator::transport
