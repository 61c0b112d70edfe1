// One call over Dynamo's TCP planes, from the caller's side.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "stator/codec/payload_codec.hpp"
#include "stator/transport/call_home_server.hpp"
#include "stator/transport/client_call.hpp"
#include "stator/transport/dynamo_pool.hpp"

namespace stator::transport {

class DynamoExchange;

/// See ClientCall, docs/protocol/dynamo-tcp.md. Its loop is the pool's.
///
/// It counts as accepted when the worker's answer has begun: the acknowledgement alone promises
/// nothing. Each wait until then has a bound (DynamoCallConfig). Codecs are those of CallHead;
/// request and items are rewritten where the worker's is another one.
///
/// Errors: `invalid_request` "dynamo.raw_codec" (the planes carry values only); before acceptance,
/// with a fate that lets it be sent elsewhere: a refusal's (overloaded, draining, unavailable),
/// `unavailable` (dynamo.no_ack, dynamo.no_call_home, dynamo.no_prologue, dynamo.prologue),
/// `disconnected` (the connection or the worker was lost); later the worker's own, `disconnected`
/// ("dynamo.stream_incomplete") for an answer that ends without its final frame unless the call was
/// stopped, `protocol` for one that breaks the rules.
class DynamoCall final : public ClientCall {
public:
    /// `path` and `codec` are the record's; `path` must live until `open` returns.
    DynamoCall(
        std::shared_ptr<RequestCarrier> carrier,
        std::shared_ptr<CallHomeServer> home,
        std::string_view path,
        PayloadCodec codec
    );
    ~DynamoCall() override;

    Task<> openable() override;
    /// Items are handed out as annotated objects: the value with what is said about it. An item
    /// that is an error ends the answer all the same. Before `open`.
    void expect_annotated() noexcept;
    /// The worker has left discovery: a call that is not accepted ends at once.
    void instance_gone() noexcept;

private:
    friend class DynamoExchange;
    Result<void> send_open(const CallHead& head, const Bytes* request) override;
    SendStatus send_item(Bytes item) override;
    void send_half_close() noexcept override;
    void send_stop(CancelReason reason) noexcept override;
    void send_kill(CancelReason reason) noexcept override;
    void consumed(std::size_t size) noexcept override;

    std::shared_ptr<DynamoExchange> exchange_;
};

}  // namespace stator::transport
