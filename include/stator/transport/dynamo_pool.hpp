// The request connections of Dynamo's TCP plane that one loop has dialled, one per worker.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "stator/net/security.hpp"
#include "stator/transport/connection_pool.hpp"
#include "stator/transport/dynamo_call_config.hpp"

namespace stator::transport {

class RequestCarrier;

/// Loop-affine, see ConnectionPool. A connection is kept until its worker closes it, however idle.
/// Owns the tasks of the answers, too: calls must have ended or be dropped before it is closed for
/// good, and those that have not end with `disconnected`.
class DynamoPool {
public:
    struct Options {
        DynamoCallConfig config{};
        net::Security security{};
        Duration connect_timeout = std::chrono::seconds{5};
        PeerObserver* observer = nullptr;  ///< outlives the pool
        CancellationToken transports{};
    };
    explicit DynamoPool(const Options& options);
    DynamoPool(const DynamoPool&) = delete;
    DynamoPool& operator=(const DynamoPool&) = delete;
    ~DynamoPool();

    /// As those of ConnectionPool. A connection carries the requests of any number of calls.
    std::shared_ptr<RequestCarrier> established(const std::string& address) const;
    Task<std::shared_ptr<RequestCarrier>> connect(std::string address);
    std::size_t size() const noexcept;
    /// Connections of answers that are still open.
    std::size_t answers() const noexcept;
    Task<> close();

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace stator::transport
