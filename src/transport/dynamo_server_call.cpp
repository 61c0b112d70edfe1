#include "transport/dynamo_server_call.hpp"

#include <utility>

#include <fmt/format.h>

namespace stator::transport {

DynamoServerCall::DynamoServerCall(
    std::shared_ptr<DynamoAnswer> answer,
    std::size_t max_item,
    CancellationToken token,
    Reservation booked
) noexcept
    : ServerCall{std::move(token)},
      answer_{std::move(answer)},
      max_item_{max_item},
      booked_{std::move(booked)} {
    answer_->serve(this);
}

DynamoServerCall::~DynamoServerCall() { answer_->released(); }

SendStatus DynamoServerCall::send_item(Bytes item, bool end) {
    if (item.size() > max_item_) {
        throw Error{
            ErrorCode::payload_too_large,
            "dynamo.item_too_large",
            fmt::format("an item of {} bytes, at most {} can be sent", item.size(), max_item_)
        };
    }
    return answer_->send(std::move(item), end, annotated());
}

}  // namespace stator::transport
