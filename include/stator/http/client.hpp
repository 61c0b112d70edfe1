// A small HTTP/1.1 client: one connection, one request at a time.
#pragma once

#include <memory>

#include "stator/http/message.hpp"
#include "stator/net/security.hpp"

namespace stator::http {

/// Belongs to one loop. Time is its caller's: bound every call with `with_deadline`.
class Client {
public:
    struct Options {
        net::Security security{};  ///< dials TLS if that asks for it
        MessageLimits limits{.header = 64U << 10U, .body = 64U << 20U};
    };
    /// Errors: as net::Security::dial. Cancel safety: throws `cancelled`.
    static Task<Client> connect(net::Address address, Options options);
    static Task<Client> connect(net::Address address) {
        return connect(std::move(address), Options{});
    }
    Client(Client&&) noexcept;
    Client& operator=(Client&&) noexcept;
    ~Client();

    /// Sends the request, reads the answer, whatever its status. Errors: `disconnected`; `protocol`
    /// "http.malformed"; `payload_too_large` "http.header_too_large", "http.body_too_large". After
    /// an error, being cancelled, or when the server has said that it closes, the connection is of
    /// no more use: later calls are `disconnected`. Cancel safety: throws `cancelled`.
    Task<Response> send(Request request);
    bool usable() const noexcept;

private:
    struct State;
    explicit Client(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

/// One request on a connection of its own. Errors: as Client's.
Task<Response> fetch(net::Address address, Request request, Client::Options options = {});

}  // namespace stator::http
