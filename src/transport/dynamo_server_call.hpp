// One call of Dynamo's TCP plane, from the worker's side.
#pragma once

#include <memory>

#include "stator/transport/buffer_budget.hpp"
#include "stator/transport/server_call.hpp"
#include "transport/dynamo_answer.hpp"

namespace stator::transport {

class DynamoServerCall final : public ServerCall {
public:
    DynamoServerCall(
        std::shared_ptr<DynamoAnswer> answer,
        std::size_t max_item,
        CancellationToken token,
        Reservation booked
    ) noexcept;
    ~DynamoServerCall() override;

    const net::Address& peer() const noexcept override { return answer_->address(); }

private:
    friend class DynamoAnswer;
    friend class DynamoPlane;
    SendStatus send_item(Bytes item, bool end) override;
    void send_end() noexcept override { answer_->end(); }
    void send_error(const Error& error) noexcept override { answer_->fail(error); }
    void consumed(std::size_t size) noexcept override {
        booked_ = {};
        answer_->consumed(size);
    }

    std::shared_ptr<DynamoAnswer> answer_;
    std::size_t max_item_;
    Reservation booked_;  // of the request, until the handler has taken it
};

}  // namespace stator::transport
