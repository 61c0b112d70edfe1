// One accepted connection: reads requests, writes what the routes answer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "http/message_reader.hpp"
#include "http/server_metrics.hpp"
#include "stator/http/server.hpp"
#include "stator/runtime/detail/intrusive_list.hpp"

namespace stator::http {

struct WaitingTag {};

/// A connection that waits for its client: the first of them makes room when there is none.
struct Waiting : runtime::detail::ListLink<WaitingTag> {
    CancellationToken token;
};
using WaitingList = runtime::detail::IntrusiveList<Waiting, WaitingTag>;

/// What all connections of a server share. Loop-affine.
struct Shared {
    explicit Shared(Server::Options options_)
        : options{std::move(options_)}, metrics{options.name} {}

    const Server::Options options;
    const ServerMetrics metrics;
    WaitingList waiting{};
    bool closing = false;
};

/// Lives in the frame of its task.
class Connection : Waiting {
public:
    explicit Connection(Shared& shared) : shared_{shared} {}
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() { done_waiting(); }

    /// Until the client leaves, breaks the rules or is too slow, or the server closes. Never
    /// throws.
    Task<> run(net::Accepted accepted);

private:
    Task<> converse(net::Accepted accepted);
    /// The next request; nothing if there is no more. Errors: what makes the rest unreadable.
    Task<std::optional<ReceivedRequest>> next_request();
    /// False when there is no more request.
    Task<bool> read_some(Deadline deadline);
    Task<> answer(ReceivedRequest received);
    Task<Response> route(Request request);
    Task<> send(std::string text);
    Task<> refuse(Error why);
    Task<> linger();
    void begin_waiting();
    void done_waiting() noexcept;

    Shared& shared_;
    std::unique_ptr<net::Stream> stream_;
    std::unique_ptr<RequestReader> reader_;
    bool begun_ = false;  // a part of the next request has come
    bool over_ = false;
};

}  // namespace stator::http
