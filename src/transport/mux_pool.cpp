#include "stator/transport/mux_pool.hpp"

namespace stator::transport {

namespace {

constexpr std::string_view alpn = "stator-mux";

}  // namespace

MuxPool::MuxPool(const Options& options)
    : ConnectionPool{options.connect_timeout, options.observer, options.transports},
      config_{options.config},
      security_{options.security} {}

Task<std::shared_ptr<MuxConnection>> MuxPool::establish(std::string address) {
    const auto parsed = net::Address::parse(address);
    if (!parsed) throw parsed.error();
    auto stream = co_await security_.dial(*parsed, alpn);
    auto connection = std::make_shared<MuxConnection>(
        MuxRole::dialler,
        std::move(stream),
        MuxConnection::Options{
            .config = config_, .observer = this, .dispatcher = nullptr, .requests = {}
        }
    );
    scope().spawn(keep(connection));
    const auto ready = co_await as_result(connection->ready());
    if (!ready) {
        connection->close();
        throw ready.error();
    }
    connection->watch(true);
    co_return connection;
}

Task<> MuxPool::keep(std::shared_ptr<MuxConnection> connection) { co_await connection->run(); }

void MuxPool::on_suspect(MuxConnection& connection) noexcept {
    const auto* address = address_of(connection);
    if (address != nullptr && observer() != nullptr) observer()->on_peer_suspect(*address);
}

void MuxPool::on_healthy(MuxConnection& connection) noexcept {
    const auto* address = address_of(connection);
    if (address != nullptr && observer() != nullptr) observer()->on_peer_healthy(*address);
}

void MuxPool::on_drain(MuxConnection& connection, InstanceId instance) noexcept {
    const auto* address = address_of(connection);
    if (address != nullptr && observer() != nullptr)
        observer()->on_peer_draining(*address, instance);
}

void MuxPool::on_closed(MuxConnection& connection, const Error& error) noexcept {
    const auto* known = address_of(connection);
    if (known == nullptr) return;  // it never got as far as the handshake
    const std::string address = *known;
    forget(address);
    if (observer() != nullptr) observer()->on_peer_lost(address, error);
}

}  // namespace stator::transport
