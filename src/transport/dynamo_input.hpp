// DynamoInput: the connection on which a request that is a stream comes in.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>

#include "stator/net/address.hpp"
#include "stator/runtime/task.hpp"
#include "stator/transport/dynamo_config.hpp"
#include "transport/dynamo_link.hpp"
#include "transport/dynamo_reader.hpp"

namespace stator::transport {

class DynamoAnswer;

/// Hands items and words to its answer, which owns it; reads no further while the handler lags.
/// Loop-affine. Cancelling `run` kills the call.
class DynamoInput final : DynamoLinkUser {
public:
    DynamoInput(
        DynamoAnswer& answer,
        net::Address address,
        std::string_view subject,
        const DynamoConfig& config
    );
    DynamoInput(const DynamoInput&) = delete;
    DynamoInput& operator=(const DynamoInput&) = delete;
    ~DynamoInput() override;

    /// Until the connection has ended. Never throws.
    Task<> run(std::unique_ptr<net::Stream> stream) { return link_.run(std::move(stream)); }
    /// An item of that size was taken.
    void consumed(std::size_t size) noexcept;
    /// Nobody wants any more.
    void close() noexcept { link_.close(); }
    bool closed() const noexcept { return link_.closed(); }
    bool connected() const noexcept { return link_.connected(); }
    const net::Address& address() const noexcept { return address_; }

private:
    std::size_t space(std::array<iovec, 2>& vectors) override { return reader_.space(vectors); }
    void received(std::size_t size) override;
    void rested() override { take_messages(); }
    void peer_finished() noexcept override;
    void lost(const Error& why) noexcept override;

    void take_messages();
    Result<void> take(dynamo::Message message);
    Result<void> hear(const Bytes& header);

    DynamoAnswer& answer_;
    const net::Address address_;
    const std::size_t window_;
    const std::shared_ptr<BufferBudget> budget_;
    dynamo::MessageReader reader_;
    DynamoLink link_{*this};
    std::size_t kept_ = 0;  // for a handler that has not taken it
    dynamo::BookedMessages booked_;
};

}  // namespace stator::transport
