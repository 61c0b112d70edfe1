#include "stator/transport/request_server.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/transport/mux_frame.hpp"
#include "transport/dynamo_plane.hpp"
#include "transport/nats_wire.hpp"

namespace stator::transport {

namespace {

/// Counts itself in while it lives.
class Counted {
public:
    explicit Counted(std::atomic<std::size_t>& count) noexcept : count_{count} {
        count_.fetch_add(1, std::memory_order_relaxed);
    }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() { count_.fetch_sub(1, std::memory_order_relaxed); }

private:
    std::atomic<std::size_t>& count_;
};

/// Reads until the protocol is known; empty when the peer left before.
Task<Bytes> read_first_bytes(net::Stream* stream) {
    std::array<std::byte, 512> space;
    std::size_t size = 0;
    while (sniff(std::span{space}.first(size)) == Protocol::need_more) {
        const iovec part{space.data() + size, space.size() - size};
        const auto got = co_await stream->read_some({&part, 1});
        if (got == 0) co_return Bytes{};
        size += got;
    }
    co_return Bytes::copy_of(std::span<const std::byte>{space}.first(size));
}

Task<> all_of(std::vector<Task<>> tasks) { co_await when_all(std::move(tasks)); }

}  // namespace

RequestServer::RequestServer(Options options, std::unique_ptr<net::Listener> listener)
    : options_{std::move(options)}, listener_{std::move(listener)}, scope_{options_.transports} {
    for (Loop* loop : options_.loops) {
        rooms_.push_back(std::make_shared<Room>());
        rooms_.back()->loop = loop;
        rooms_.back()->dynamo = std::make_unique<DynamoPlane>(
            *loop,
            DynamoPlane::Options{
                .config = options_.dynamo,
                .security = options_.security,
                .dispatcher = options_.dispatcher,
                .requests = options_.requests,
                .transports = options_.transports,
                .violations = &violations_,
            }
        );
    }
}

RequestServer::Room::~Room() = default;
RequestServer::~RequestServer() = default;

Task<std::unique_ptr<RequestServer>> RequestServer::start(Options options) {
    auto listener = co_await net::Listener::bind(options.bind);
    std::unique_ptr<RequestServer> server{new RequestServer{std::move(options), std::move(listener)}
    };
    server->scope_.spawn(server->accept_loop());
    co_return server;
}

const net::Address& RequestServer::address() const noexcept { return listener_->address(); }

RequestServer::Room& RequestServer::emptiest() noexcept {
    return **std::ranges::min_element(rooms_, {}, [](const auto& room) {
        return room->size.load(std::memory_order_relaxed);
    });
}

Task<> RequestServer::accept_loop() {
    while (auto accepted = co_await listener_->accept()) {
        Room& room = emptiest();
        room.size.fetch_add(1, std::memory_order_relaxed);
        scope_.spawn_on(*room.loop, serve(&room, std::move(*accepted)));
    }
}

Task<> RequestServer::serve(Room* room, net::Accepted accepted) {
    std::optional<Error> failure;
    try {
        auto stream = co_await options_.security.accept(std::move(accepted));
        auto first = co_await with_deadline(
            Deadline::in(options_.sniff_timeout), read_first_bytes(stream.get())
        );
        switch (first.empty() ? Protocol::need_more : sniff(first.span())) {
            case Protocol::need_more:
                break;
            case Protocol::mux:
                co_await serve_mux(room, std::move(stream), std::move(first));
                break;
            case Protocol::dynamo:
                co_await serve_dynamo(room, std::move(stream), std::move(first));
                break;
            case Protocol::tls:
                throw Error{
                    ErrorCode::protocol,
                    "net.tls_on_plain_port",
                    fmt::format("{} speaks TLS to a port without TLS", stream->remote().to_string())
                };
        }
    } catch (const Error& error) {
        failure = error;
    }
    room->size.fetch_sub(1, std::memory_order_relaxed);
    if (!failure || failure->code() == ErrorCode::cancelled ||
        failure->code() == ErrorCode::disconnected)
        co_return;
    report_refusal(*failure);
}

void RequestServer::report_refusal(const Error& why) {
    sink().count("transport_refused_connections_total", 1);
    const auto held_back = refusals_.admit(Clock::current().now());
    if (!held_back) return;
    sink().report(
        Severity::warn,
        "stator::transport",
        fmt::format(
            "a connection was closed: {} ({}){}",
            why.what(),
            why.detail(),
            and_unreported(*held_back)
        )
    );
}

Task<> RequestServer::serve_mux(Room* room, std::unique_ptr<net::Stream> stream, Bytes sniffed) {
    const Counted counted{mux_};
    const auto connection = std::make_shared<MuxConnection>(
        MuxRole::acceptor,
        std::move(stream),
        MuxConnection::Options{
            .config = options_.config,
            .observer = nullptr,
            .dispatcher = options_.dispatcher,
            .requests = options_.requests,
            .violations = &violations_,
        },
        std::move(sniffed)
    );
    room->connections.push_back(connection.get());
    co_await connection->run();
    std::erase(room->connections, connection.get());
}

Task<> RequestServer::serve_dynamo(Room* room, std::unique_ptr<net::Stream> stream, Bytes sniffed) {
    const Counted counted{dynamo_};
    co_await room->dynamo->serve(std::move(stream), std::move(sniffed));
}

Task<std::shared_ptr<NatsSubject>> RequestServer::serve_subject(
    nats::Client client, std::string subject, std::string path
) {
    auto served = std::make_shared<NatsSubject>(client, subject, std::move(path));
    nats::SubscribeOptions options;
    options.subjects = {std::move(subject)};
    options.queue = std::string{nats_wire::queue_group};
    options.without_statuses = true;
    served->requests_ = co_await client.subscribe(std::move(options));
    Room& room = emptiest();
    room.size.fetch_add(1, std::memory_order_relaxed);
    scope_.spawn_on(*room.loop, take_requests(&room, served));
    co_return served;
}

Task<> RequestServer::take_requests(Room* room, std::shared_ptr<NatsSubject> subject) {
    const auto ended = co_await as_result(NatsSubject::run(subject, room->dynamo.get()));
    room->size.fetch_sub(1, std::memory_order_relaxed);
    if (!ended) throw ended.error();
}

void RequestServer::drain(InstanceId instance, std::string reason) {
    // As tasks of the server, so that `close` waits for those that are still on their way.
    for (auto& room : rooms_)
        scope_.spawn_on(*room->loop, drain_room(room.get(), instance, reason));
}

Task<> RequestServer::drain_room(Room* room, InstanceId instance, std::string reason) {
    for (auto* connection : room->connections) connection->drain(instance, reason);
    co_return;
}

Task<> RequestServer::flush(Deadline deadline) {
    std::vector<Task<>> rooms;
    for (auto& room : rooms_) rooms.push_back(on_loop(*room->loop, flush_room(room)));
    const auto flushed = co_await as_result(with_deadline(deadline, all_of(std::move(rooms))));
    if (!flushed && flushed.error().code() == ErrorCode::cancelled) throw flushed.error();
}

Task<> RequestServer::flush_room(std::shared_ptr<Room> room) {
    std::vector<std::shared_ptr<MuxConnection>> connections;
    for (auto* connection : room->connections)
        connections.push_back(connection->shared_from_this());
    for (const auto& connection : connections) co_await connection->flushed();
    co_await room->dynamo->flushed();
}

Task<> RequestServer::close() {
    // The listener belongs to the first loop; cancelling the accept loop is enough to stop it from
    // anywhere.
    co_await scope_.close(CancelReason::shutdown);
    std::vector<Task<>> rooms;
    for (auto& room : rooms_) rooms.push_back(on_loop(*room->loop, room->dynamo->close()));
    co_await shielded(all_of(std::move(rooms)));
}

}  // namespace stator::transport
