#include "stator/transport/dynamo_call.hpp"

#include "stator/runtime/combinators.hpp"
#include "stator/transport/request_carrier.hpp"
#include "transport/dynamo_exchange.hpp"

namespace stator::transport {

DynamoCall::DynamoCall(
    std::shared_ptr<RequestCarrier> carrier,
    std::shared_ptr<CallHomeServer> home,
    std::string_view path,
    PayloadCodec codec
)
    : exchange_{
          std::make_shared<DynamoExchange>(*this, std::move(carrier), std::move(home), path, codec)
      } {}

DynamoCall::~DynamoCall() { exchange_->drop(); }

Task<> DynamoCall::openable() { co_await when_any(exchange_->uncongested(), changed()); }

void DynamoCall::expect_annotated() noexcept { exchange_->expect_annotated(); }

void DynamoCall::instance_gone() noexcept {
    if (!over()) exchange_->instance_gone();
}

Result<void> DynamoCall::send_open(const CallHead& head, const Bytes* request) {
    return exchange_->open(head, request);
}

SendStatus DynamoCall::send_item(Bytes item) { return exchange_->send(std::move(item)); }
void DynamoCall::send_half_close() noexcept { exchange_->half_close(); }
// The planes have no reasons.
void DynamoCall::send_stop(CancelReason) noexcept { exchange_->stop(); }
void DynamoCall::send_kill(CancelReason) noexcept { exchange_->kill(); }
void DynamoCall::consumed(std::size_t size) noexcept { exchange_->consumed(size); }

}  // namespace stator::transport
