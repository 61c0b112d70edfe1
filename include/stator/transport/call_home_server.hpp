// The port to which workers of Dynamo's planes connect to answer: they call home.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/base/report_limit.hpp"
#include "stator/base/request_id.hpp"
#include "stator/net/listener.hpp"
#include "stator/net/security.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::transport {

/// Waits for one connection of a worker. Loop-affine.
class HomeCall {
public:
    virtual ~HomeCall() = default;
    /// The worker has connected and named the subject, which is of no use any more. `rest` came
    /// behind its handshake: often all that it has to say, so that the connection need not become
    /// a stream. On the loop that waits; must not throw.
    virtual void on_home(net::Accepted connection, Bytes rest) noexcept = 0;
};

/// One per process. Accepts, reads the handshake, and gives the socket to the loop on which its
/// call waits. Whoever knows no subject that is waited for is reset.
///
/// A subject is a version 4 UUID with 106 bits from the operating system; the others name the loop,
/// so there is no table that loops share. Thread-safe where it says so; owned by whoever calls
/// `start`, and `close` before it dies.
class CallHomeServer {
public:
    enum class Direction : std::uint8_t { response, request };
    using Subject = RequestId;

    struct Options {
        net::Address bind{"127.0.0.1", 0};
        net::Security security{};
        /// What workers are told instead of the bound host; empty: that, or loopback for a
        /// wildcard.
        std::string advertise_host;
        std::uint16_t advertise_port = 0;  ///< 0: the bound one
        /// Those on which calls wait, each at its own index; the first one accepts.
        std::vector<Loop*> loops;
        /// For TLS, where there is, and the plane's own handshake.
        Duration handshake_timeout = std::chrono::seconds{5};
        /// Connections without a handshake. One more costs the oldest its place: workers write
        /// theirs at once.
        std::size_t max_waiting = 1024;
        CancellationToken transports{};
    };
    /// On `loops[0]`. Errors (thrown): as net::Listener::bind.
    static Task<std::shared_ptr<CallHomeServer>> start(Options options);
    CallHomeServer(const CallHomeServer&) = delete;
    CallHomeServer& operator=(const CallHomeServer&) = delete;
    ~CallHomeServer();

    /// "host:port" as workers are told; IPv6 in brackets. Thread-safe.
    const std::string& address() const noexcept { return address_; }

    /// From now on `call` is told of the connection that names the subject; until `forget`, which
    /// must come before it dies. On a loop of the options.
    Subject expect(HomeCall& call, Direction direction);
    void forget(const Subject& subject) noexcept;
    /// Subjects that this loop waits for.
    std::size_t expected() const noexcept;
    /// Connections whose handshake is missing; on the first loop.
    std::size_t waiting() const noexcept { return waiting_.size(); }

    /// Deals with a connection as with those that it accepts itself. On the first loop.
    void admit(net::Accepted accepted);

    /// Stops accepting and drops what has not been given away. Thread-safe.
    Task<> close();

private:
    struct Expected {
        HomeCall* call;
        Direction direction;
    };
    /// What one loop waits for; touched there only.
    struct Room {
        std::unordered_map<RequestId, Expected> expected;
    };
    class Greeting;
    CallHomeServer(Options options, std::unique_ptr<net::Listener> listener);
    Task<> accept_loop();
    Task<> wait_for_greeting(std::unique_ptr<Greeting> greeting);
    bool read_greeting(Greeting& greeting);
    void give_away(Greeting& greeting);
    /// A connection that has named its subject.
    struct Caller {
        Subject subject;
        Direction direction;
        net::Accepted connection;
        Bytes rest;
    };
    static void hand_over(Room& room, Caller caller) noexcept;
    static Task<> hand_over_there(std::shared_ptr<Room> room, Caller caller);
    void refuse(net::Accepted& accepted, const Error& why);

    Options options_;
    std::unique_ptr<net::Listener> listener_;
    std::string address_;
    std::vector<std::shared_ptr<Room>> rooms_;  // by the index of the loop
    std::vector<Loop*> loops_;                  // likewise; null: none of ours
    std::list<CancellationToken> waiting_;      // oldest first
    ReportLimit refusals_{std::chrono::seconds{10}};
    TaskScope scope_;
};

}  // namespace stator::transport
