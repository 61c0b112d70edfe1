#include "stator/transport/dynamo_pool.hpp"

#include <fmt/format.h>

#include "transport/carrier_metrics.hpp"
#include "transport/dynamo_request_connection.hpp"

namespace stator::transport {

class DynamoPool::Impl final : public ConnectionPool<DynamoRequestConnection> {
public:
    explicit Impl(const Options& options)
        : ConnectionPool{options.connect_timeout, options.observer, options.transports},
          config_{options.config},
          security_{options.security},
          answers_{options.transports} {}

    TaskScope& answers() noexcept { return answers_; }
    using ConnectionPool::scope;

private:
    Task<std::shared_ptr<DynamoRequestConnection>> establish(std::string address) override {
        const auto parsed = net::Address::parse(address);
        if (!parsed) throw parsed.error();
        auto stream = co_await security_.dial(*parsed);
        auto connection =
            std::make_shared<DynamoRequestConnection>(std::move(address), config_, answers_);
        scope().spawn(keep(connection, std::move(stream)));
        co_return connection;
    }

    Task<> keep(
        std::shared_ptr<DynamoRequestConnection> connection, std::unique_ptr<net::Stream> stream
    ) {
        co_await connection->run(std::move(stream));
        const auto address = connection->address();
        if (address_of(*connection) != nullptr) forget(address);
        // One that was idle may have been closed for want of use.
        if (connection->left_requests() && observer() != nullptr)
            observer()->on_peer_lost(address, *connection->end());
        co_await look_after_silent(connection);
    }

    /// Requests that were accepted may still be answered although their connection is gone; if the
    /// worker is gone, too, they never will.
    Task<> look_after_silent(std::shared_ptr<DynamoRequestConnection> connection) {
        if (!connection->has_silent()) co_return;
        const auto again = co_await as_result(connect(connection->address()));
        if (again) {
            (*again)->take_silent_from(*connection);
        } else {
            connection->fail_silent(Error{
                ErrorCode::disconnected,
                "dynamo.worker_lost",
                fmt::format("the worker at {} is gone", connection->address())
            }
                                        .with_cause(again.error()));
        }
    }

    const DynamoCallConfig config_;
    const net::Security security_;
    TaskScope answers_;
};

DynamoPool::DynamoPool(const Options& options) : impl_{std::make_unique<Impl>(options)} {}
DynamoPool::~DynamoPool() = default;

std::shared_ptr<RequestCarrier> DynamoPool::established(const std::string& address) const {
    return impl_->established(address);
}

Task<std::shared_ptr<RequestCarrier>> DynamoPool::connect(std::string address) {
    auto connect = [](Impl* impl, std::string to) -> Task<std::shared_ptr<RequestCarrier>> {
        auto connected = co_await as_result(impl->connect(std::move(to)));
        if (connected) co_return std::move(*connected);
        if (connected.error().code() != ErrorCode::cancelled) carrier_metrics().tcp_errors.add();
        throw connected.error();
    };
    return connect(impl_.get(), std::move(address));
}

std::size_t DynamoPool::size() const noexcept { return impl_->size(); }
std::size_t DynamoPool::answers() const noexcept { return impl_->answers().size(); }

Task<> DynamoPool::close() {
    co_await impl_->scope().close(CancelReason::shutdown);
    co_await impl_->answers().close(CancelReason::shutdown);
}

}  // namespace stator::transport
