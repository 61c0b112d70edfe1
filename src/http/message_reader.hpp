// From bytes to messages, without sockets.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "stator/http/message.hpp"

namespace stator::http {

struct ReceivedRequest {
    Request request;
    bool keep_alive = false;  ///< what the client wants
};

/// Reads the requests of one connection. Errors are final: `protocol` "http.malformed",
/// `payload_too_large` "http.header_too_large" and "http.body_too_large".
class RequestReader {
public:
    explicit RequestReader(MessageLimits limits);
    RequestReader(const RequestReader&) = delete;
    RequestReader& operator=(const RequestReader&) = delete;
    ~RequestReader();

    void feed(std::string_view bytes);
    /// The next request, once it is complete.
    Result<std::optional<ReceivedRequest>> poll();
    /// Nothing of another request has come yet.
    bool between_requests() const noexcept;
    /// True once for a request whose sender waits to be asked for the body.
    bool asks_to_continue();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Reads one response. Errors as above.
class ResponseReader {
public:
    /// `to`: the request's method, since the answer to HEAD has no body.
    ResponseReader(Method to, MessageLimits limits);
    ResponseReader(const ResponseReader&) = delete;
    ResponseReader& operator=(const ResponseReader&) = delete;
    ~ResponseReader();

    void feed(std::string_view bytes);
    /// The response, once it is complete. Those of status 1xx are skipped.
    Result<std::optional<Response>> poll();
    /// The connection has ended: that is the end of a response without a length.
    Result<Response> finish();
    /// Whether another request may be sent, once the response is complete.
    bool keep_alive() const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace stator::http
