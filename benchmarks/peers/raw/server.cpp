// One epoll loop. A turn: wait, read every readable connection, send the items that are due or
// ready round robin over the streams, then one send per connection.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <queue>
#include <unordered_map>
#include <vector>

#include "raw/wire.hpp"

namespace bench::raw {
namespace {

struct Peer {
    explicit Peer(int fd) : connection{fd} {}

    Connection connection;
    std::uint32_t events = EPOLLIN;
    bool dirty = false;
    bool failed = false;
};

struct ActiveStream {
    std::shared_ptr<Peer> peer;
    std::uint32_t call = 0;
    StreamRequest request;
    TimePoint began;
    std::uint32_t sent = 0;

    TimePoint due() const {
        return began + std::chrono::microseconds{request.pace_us} * (sent + 1);
    }
};

struct DueLater {
    bool operator()(const ActiveStream& a, const ActiveStream& b) const {
        return a.due() > b.due();
    }
};

// What a turn sends at most per connection, so that the client works on one part while we produce
// the next.
constexpr std::size_t turn_bytes = 64U << 10;

bool runnable(const ActiveStream& stream) {
    return stream.peer->failed || stream.peer->connection.unsent() < turn_bytes;
}

class Server {
public:
    explicit Server(std::uint16_t port);
    [[noreturn]] void run();

private:
    void accept_all();
    void handle(const epoll_event& event);
    void read(const std::shared_ptr<Peer>& peer);
    void answer(const std::shared_ptr<Peer>& peer, const Frame& frame);
    bool emit(ActiveStream& stream);
    void emit_due();
    void emit_ready();
    void mark(const std::shared_ptr<Peer>& peer);
    void flush_all();
    void watch(Peer& peer);

    int epoll_ = -1;
    int listener_ = -1;
    std::unordered_map<int, std::shared_ptr<Peer>> peers_;
    std::vector<std::shared_ptr<Peer>> dirty_;
    std::deque<ActiveStream> ready_;
    std::priority_queue<ActiveStream, std::vector<ActiveStream>, DueLater> paced_;
    std::vector<std::byte> item_;
};

Server::Server(std::uint16_t port) : epoll_{epoll_create1(EPOLL_CLOEXEC)} {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address;
    if (epoll_ < 0 || listener_ < 0) fail("socket");
    if (bind(listener_, generic, length) != 0 || listen(listener_, SOMAXCONN) != 0) fail("listen");
    if (getsockname(listener_, generic, &length) != 0) fail("getsockname");
    epoll_event event{.events = EPOLLIN, .data = {.fd = listener_}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0) fail("epoll_ctl");
    announce(ntohs(address.sin_port));
}

void Server::run() {
    std::array<epoll_event, 64> events{};
    for (;;) {
        std::optional<TimePoint> due;
        if (!paced_.empty()) due = paced_.top().due();
        if (std::ranges::any_of(ready_, runnable)) due = Clock::now();
        const auto wait = wait_until(due);
        const int count =
            epoll_pwait2(epoll_, events.data(), events.size(), wait ? &*wait : nullptr, nullptr);
        if (count < 0 && errno != EINTR) fail("epoll_pwait2");
        for (int i = 0; i < count; ++i) handle(events[static_cast<std::size_t>(i)]);
        emit_due();
        emit_ready();
        flush_all();
    }
}

void Server::accept_all() {
    for (;;) {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        auto peer = std::make_shared<Peer>(fd);
        epoll_event event{.events = peer->events, .data = {.fd = fd}};
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
        peers_.emplace(fd, std::move(peer));
    }
}

void Server::handle(const epoll_event& event) {
    if (event.data.fd == listener_) {
        accept_all();
        return;
    }
    const auto found = peers_.find(event.data.fd);
    if (found == peers_.end()) return;
    const auto peer = found->second;
    if ((event.events & EPOLLOUT) != 0) mark(peer);
    if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read(peer);
    if (peer->failed) peers_.erase(peer->connection.fd());
}

void Server::read(const std::shared_ptr<Peer>& peer) {
    if (!peer->connection.receive()) {
        peer->failed = true;
        return;
    }
    while (const auto frame = peer->connection.next()) answer(peer, *frame);
}

void Server::answer(const std::shared_ptr<Peer>& peer, const Frame& frame) {
    if (frame.header.kind == Kind::unary_request || frame.header.kind == Kind::bulk_request) {
        const bool bulk = frame.header.kind == Kind::bulk_request;
        const auto size = bulk ? std::size_t{bulk_reply_size} : frame.payload.size();
        Header reply = frame.header;
        reply.length = static_cast<std::uint32_t>(size);
        reply.kind = Kind::reply;
        reply.last = 1;
        if (bulk && item_.size() < size) item_.resize(size, std::byte{'x'});
        peer->connection.append(reply, bulk ? std::span{item_}.first(size) : frame.payload);
        mark(peer);
        return;
    }
    ActiveStream stream{
        .peer = peer, .call = frame.header.call, .request = {}, .began = Clock::now()
    };
    const bool known =
        frame.header.kind == Kind::stream_request && frame.payload.size() == sizeof stream.request;
    if (known) std::memcpy(&stream.request, frame.payload.data(), sizeof stream.request);
    if (!known || stream.request.items == 0 || stream.request.size > (1U << 20)) {
        peer->failed = true;
    } else if (stream.request.pace_us == 0) {
        ready_.push_back(std::move(stream));
    } else {
        paced_.push(std::move(stream));
    }
}

/// Buffers the next item; false after the last one.
bool Server::emit(ActiveStream& stream) {
    if (stream.peer->failed) return false;
    if (item_.size() < stream.request.size) item_.resize(stream.request.size, std::byte{'x'});
    ++stream.sent;
    const bool last = stream.sent == stream.request.items;
    const Header header{
        .length = stream.request.size,
        .call = stream.call,
        .kind = Kind::item,
        .last = last,
        .reserved = 0
    };
    stream.peer->connection.append(header, std::span{item_}.first(stream.request.size));
    mark(stream.peer);
    return !last;
}

void Server::emit_due() {
    if (paced_.empty()) return;
    const auto now = Clock::now();
    while (!paced_.empty() && paced_.top().due() <= now) {
        ActiveStream stream = paced_.top();
        paced_.pop();
        if (emit(stream)) paced_.push(std::move(stream));
    }
}

// One item of each ready stream in turn, until all have ended or have filled this turn's send.
void Server::emit_ready() {
    std::size_t blocked = 0;
    while (blocked < ready_.size()) {
        ActiveStream stream = std::move(ready_.front());
        ready_.pop_front();
        const bool may_emit = runnable(stream);
        blocked = may_emit ? 0 : blocked + 1;
        if (!may_emit || emit(stream)) ready_.push_back(std::move(stream));
    }
}

void Server::mark(const std::shared_ptr<Peer>& peer) {
    if (peer->dirty) return;
    peer->dirty = true;
    dirty_.push_back(peer);
}

void Server::flush_all() {
    for (const auto& peer : dirty_) {
        peer->dirty = false;
        if (peer->failed || !peer->connection.flush()) {
            peer->failed = true;
            peers_.erase(peer->connection.fd());
        } else {
            watch(*peer);
        }
    }
    dirty_.clear();
}

// A congested connection is not read either: its answers would only make it worse.
void Server::watch(Peer& peer) {
    std::uint32_t events = peer.connection.congested() ? 0U : EPOLLIN;
    if (peer.connection.unsent() != 0) events |= EPOLLOUT;
    if (events == peer.events) return;
    peer.events = events;
    epoll_event event{.events = events, .data = {.fd = peer.connection.fd()}};
    if (epoll_ctl(epoll_, EPOLL_CTL_MOD, peer.connection.fd(), &event) != 0) fail("epoll_ctl");
}

}  // namespace

int serve(std::uint16_t port) { Server{port}.run(); }

}  // namespace bench::raw
