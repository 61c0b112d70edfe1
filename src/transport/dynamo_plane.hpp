// DynamoPlane: what one loop serves on Dynamo's TCP planes.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "stator/base/report_limit.hpp"
#include "stator/net/security.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/transport/call_shape.hpp"
#include "stator/transport/dynamo_config.hpp"
#include "stator/transport/server_call.hpp"
#include "transport/dynamo_answer.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_reader.hpp"

namespace stator::transport {

/// How a refusal reaches the sender of a request.
enum class TellRefusals : std::uint8_t {
    by_ack,     ///< which it reads
    by_answer,  ///< which begins, and fails
};

/// Turns request frames into calls and owns what runs for them: the calls, and their connections,
/// which outlive the connection that brought the request.
///
/// Owned by the request server, one for each of its loops; everything but the constructor is called
/// on that loop. Ends by `close`, before which nothing may be destroyed.
class DynamoPlane {
public:
    struct Options {
        DynamoConfig config{};
        net::Security security{};
        CallDispatcher* dispatcher = nullptr;  ///< outlives the plane
        CancellationToken requests{};          ///< the parent of every call's token
        CancellationToken transports{};
        ReportLimit* violations = nullptr;  ///< outlives the plane; none: each one is reported
        /// How calls home are dialled, names too; none: as `security` does.
        std::function<Result<std::unique_ptr<net::Stream>>(const net::Address&)> dial{};
    };
    DynamoPlane(Loop& loop, Options options);
    DynamoPlane(const DynamoPlane&) = delete;
    DynamoPlane& operator=(const DynamoPlane&) = delete;
    ~DynamoPlane();

    /// Serves a request connection until it ends; its calls go on. `sniffed`: what was read from it
    /// already. Never throws. Cancel safety: ends the connection.
    Task<> serve(std::unique_ptr<net::Stream> stream, Bytes sniffed);
    /// Waits until every complete answer has left. Calls that are still being served are not waited
    /// for. Cancel safety: throws `cancelled`.
    Task<> flushed();
    /// Kills the calls and ends their connections.
    Task<> close();

    /// Begins to serve a request, or to tell its sender why not. Returns the text of the
    /// acknowledgement; empty: accepted.
    std::string accept(
        dynamo::RequestFrame frame,
        const net::Address& from,
        TellRefusals refusals = TellRefusals::by_ack
    );

    const DynamoConfig& config() const noexcept { return options_.config; }
    /// Begins a call home.
    Dialled start_dial(const net::Address& address) const;
    /// Nothing where `start_dial` has to be used.
    std::optional<Result<net::Outgoing>> open_outgoing(const net::Address& address) const;
    /// A peer broke the protocol.
    void violated(const net::Address& peer, const Error& error) noexcept;

    // What answers tell.
    /// Everything was written: closed soon. Who closes first keeps the port for a while, so that is
    /// left to the client if it is quick.
    void see_off(net::Outgoing connection);
    void call_home_failed(const net::Address& address, const Error& why) noexcept;
    void answer_opened() noexcept { ++answers_; }
    void answer_closed() noexcept { --answers_; }
    void answer_ended() noexcept { ++unsent_; }
    void answer_left() noexcept;
    /// Connections of calls that are open here.
    std::size_t answers() const noexcept { return answers_; }

private:
    struct Departure {
        net::Outgoing connection;
        TimePoint since;
    };
    struct DepartureTimer : runtime::detail::Timer {
        explicit DepartureTimer(DynamoPlane& plane) noexcept;
        DynamoPlane& plane;
    };
    void close_departed() noexcept;
    std::string undecodable(const net::Address& from, const Error& error);
    std::string answer_error(
        const dynamo::ConnectionInfo& info, PayloadCodec codec, const Error& error
    );
    std::string answer_error(const std::shared_ptr<DynamoAnswer>& answer, const Error& error);
    std::string serve_request(
        dynamo::RequestFrame frame, dynamo::ControlHeader control, Bytes body, TellRefusals refusals
    );

    Loop& loop_;
    Options options_;
    ReportLimit failures_;
    std::size_t answers_ = 0;
    std::size_t unsent_ = 0;
    Event all_left_;
    std::deque<Departure> departures_;  // oldest first
    DepartureTimer departure_timer_{*this};
    TaskScope calls_;
    TaskScope links_;
};

}  // namespace stator::transport
