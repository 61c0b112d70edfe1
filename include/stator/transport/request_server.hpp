// The one port of a process: accepts, tells the protocols apart, serves each connection on a loop.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/net/listener.hpp"
#include "stator/net/security.hpp"
#include "stator/transport/dynamo_config.hpp"
#include "stator/transport/mux_connection.hpp"
#include "stator/transport/nats_subject.hpp"

namespace stator::transport {

class DynamoPlane;

/// Owned by the process's distributed runtime. `start`, `close` and `drain` may be awaited or
/// called on any loop. A connection belongs to the loop it was given at accept: the one with the
/// fewest.
class RequestServer {
public:
    struct Options {
        net::Address bind{"127.0.0.1", 0};
        std::vector<Loop*> loops;  ///< at least one; the first one accepts
        MuxConfig config{};
        CallDispatcher* dispatcher = nullptr;  ///< outlives the server
        CancellationToken requests{};
        CancellationToken transports{};
        DynamoConfig dynamo{};
        net::Security security{};  ///< of what is accepted, and of calls home
        /// For the first two bytes; a TLS handshake has its own limit.
        Duration sniff_timeout = std::chrono::seconds{5};
    };
    /// Binds and accepts; on `loops[0]`. Errors (thrown): as net::Listener::bind.
    static Task<std::unique_ptr<RequestServer>> start(Options options);
    RequestServer(const RequestServer&) = delete;
    RequestServer& operator=(const RequestServer&) = delete;
    ~RequestServer();

    const net::Address& address() const noexcept;
    /// Serves what NATS brings to `subject` for the instance's endpoint at `path`
    /// ("{instance, hex}/{namespace}/{component}/{endpoint}"), until it is closed or the server is.
    /// Errors and cancel safety: as of nats::Client::subscribe.
    Task<std::shared_ptr<NatsSubject>> serve_subject(
        nats::Client client, std::string subject, std::string path
    );
    /// Tells every mux peer that `instance` (none: all) takes no more calls. Peers of the Dynamo
    /// plane learn it from the record's removal, and from refusals.
    void drain(InstanceId instance, std::string reason);
    /// Open connections of each protocol; of Dynamo's those that bring requests.
    std::size_t mux_connections() const noexcept { return mux_.load(std::memory_order_relaxed); }
    std::size_t dynamo_connections() const noexcept {
        return dynamo_.load(std::memory_order_relaxed);
    }

    /// Waits until every complete answer has left, on every connection, or until `deadline`.
    /// Cancel safety: throws `cancelled`.
    Task<> flush(Deadline deadline);
    /// Stops accepting, says goodbye to every peer, waits until all connections have ended.
    Task<> close();

private:
    /// The connections of one loop; touched there only, apart from the count. Shared with what was
    /// posted to that loop, which may get its turn after the server's end.
    struct Room {
        Loop* loop = nullptr;
        std::vector<MuxConnection*> connections;
        std::unique_ptr<DynamoPlane> dynamo;
        std::atomic<std::size_t> size{0};
        ~Room();
    };
    RequestServer(Options options, std::unique_ptr<net::Listener> listener);
    Task<> accept_loop();
    static Task<> take_requests(Room* room, std::shared_ptr<NatsSubject> subject);
    Task<> drain_room(Room* room, InstanceId instance, std::string reason);
    Task<> serve(Room* room, net::Accepted accepted);
    Task<> serve_mux(Room* room, std::unique_ptr<net::Stream> stream, Bytes sniffed);
    Task<> serve_dynamo(Room* room, std::unique_ptr<net::Stream> stream, Bytes sniffed);
    void report_refusal(const Error& why);
    static Task<> flush_room(std::shared_ptr<Room> room);
    Room& emptiest() noexcept;

    Options options_;
    std::unique_ptr<net::Listener> listener_;
    std::vector<std::shared_ptr<Room>> rooms_;
    std::atomic<std::size_t> mux_{0};
    std::atomic<std::size_t> dynamo_{0};
    ReportLimit refusals_{std::chrono::seconds{10}};    ///< what was no peer of ours
    ReportLimit violations_{std::chrono::seconds{10}};  ///< what broke the protocol
    TaskScope scope_;
};

}  // namespace stator::transport
