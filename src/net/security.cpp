#include "stator/net/security.hpp"

#include <array>

#include <fmt/format.h>

#include "net/tls_context.hpp"
#include "net/tls_stream.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::net {

struct Security::State {
    TlsContext server;
    TlsContext client;
    std::string server_name;
    Duration handshake_timeout{};
    std::shared_ptr<TlsTickets> tickets = std::make_shared<TlsTickets>();

    std::unique_ptr<TlsStream> wrap(
        std::unique_ptr<TcpStream> socket, const Address& address, std::string_view protocol
    ) const {
        auto session = TlsSession::client(
            client.get(),
            socket->descriptor(),
            address,
            server_name.empty() ? address.host : server_name,
            protocol,
            tickets
        );
        return std::make_unique<TlsStream>(std::move(socket), std::move(session));
    }
};

namespace {

constexpr auto longest_linger = std::chrono::milliseconds{100};

/// Lets the alert arrive: a socket that is closed with unread input resets the connection, and the
/// peer would not learn why.
Task<> linger(TcpStream* socket) {
    socket->shutdown_write();
    std::array<std::byte, 4096> space;
    const iovec part{space.data(), space.size()};
    while (co_await socket->read_some({&part, 1}) > 0) {
    }
}

Task<> shake_hands(TlsStream* stream, Duration timeout, bool dialled) {
    const auto done =
        co_await as_result(with_deadline(Deadline::in(timeout), stream->shake_hands()));
    if (done) co_return;
    if (done.error().code() != ErrorCode::deadline_exceeded) throw done.error();
    throw Error{
        dialled ? ErrorCode::unavailable : ErrorCode::protocol,
        "net.tls_handshake_timeout",
        fmt::format("{}: no TLS handshake in time", stream->remote().to_string())
    };
}

}  // namespace

Result<Security> Security::load(const settings::TlsSettings& settings) {
    if (auto fits = check_tls_settings(settings); !fits) return std::unexpected{fits.error()};
    auto server = make_server_context(settings);
    if (!server) return std::unexpected{server.error()};
    auto client = make_client_context(settings);
    if (!client) return std::unexpected{client.error()};
    if (!*server && !*client) return Security{};
    if (settings.insecure) {
        sink().report(
            Severity::warn,
            "stator::net",
            "DYN_TCP_TLS_INSECURE is set: nobody looks at whom TLS connections are made to"
        );
    }
    return Security{std::make_shared<const State>(
        std::move(*server), std::move(*client), settings.server_name, settings.handshake_timeout
    )};
}

bool Security::serves_tls() const noexcept { return state_ && state_->server; }
bool Security::verifies_clients() const noexcept {
    return serves_tls() &&
           (SSL_CTX_get_verify_mode(state_->server.get()) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0;
}
bool Security::dials_tls() const noexcept { return state_ && state_->client; }

Result<void> Security::suits(std::string_view address, bool tls) const {
    if (tls == dials_tls()) return {};
    if (tls) {
        return fail(
            ErrorCode::unavailable,
            "net.tls_no_authority",
            fmt::format("{} speaks TLS; DYN_TCP_TLS_CA_CERT_PATH is not set here", address)
        );
    }
    return fail(
        ErrorCode::unavailable,
        "net.tls_not_offered",
        fmt::format("{} speaks no TLS, which DYN_TCP_TLS_CA_CERT_PATH asks for", address)
    );
}

Task<std::unique_ptr<Stream>> Security::dial(Address address, std::string_view protocol) const {
    const auto state = state_;  // the handle may be gone before this ends
    auto socket = co_await dial_tcp(address);
    if (!state || !state->client) co_return socket;
    auto stream = state->wrap(std::move(socket), address, protocol);
    co_await shake_hands(stream.get(), state->handshake_timeout, true);
    co_return stream;
}

Result<std::unique_ptr<Stream>> Security::start_dial(const Address& address) const {
    auto socket = start_dial_tcp(address);
    if (!socket) return std::unexpected{socket.error()};
    if (!dials_tls()) return std::move(*socket);
    return state_->wrap(std::move(*socket), address, {});
}

std::optional<Result<Outgoing>> Security::open_outgoing(const Address& address) const {
    if (dials_tls()) return std::nullopt;
    return Outgoing::open(address);
}

Accepted Security::secure(Accepted accepted) const {
    if (serves_tls()) {
        accepted.tls_ =
            TlsSession::server(state_->server.get(), accepted.descriptor_, accepted.remote_);
    }
    return accepted;
}

Task<std::unique_ptr<Stream>> Security::accept(Accepted accepted) const {
    const auto state = state_;
    auto stream = secure(std::move(accepted)).attach();
    if (!state || !state->server) co_return stream;
    auto* const tls = static_cast<TlsStream*>(stream.get());
    const auto done = co_await as_result(shake_hands(tls, state->handshake_timeout, false));
    if (done) co_return stream;
    const auto code = done.error().code();
    if (code == ErrorCode::unauthenticated || code == ErrorCode::protocol) {
        (void)co_await as_result(with_deadline(Deadline::in(longest_linger), linger(&tls->socket()))
        );
    }
    throw done.error();
}

}  // namespace stator::net
