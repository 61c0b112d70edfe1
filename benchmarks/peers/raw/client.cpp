// One connection, one epoll loop, `concurrency` calls in flight; an answer starts the next call,
// and one send per turn carries what the turn started.
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "raw/wire.hpp"

namespace bench::raw {
namespace {

constexpr auto drain_limit = std::chrono::seconds{5};

struct Slot {
    TimePoint issued;
    std::uint32_t received = 0;
    bool busy = false;
};

/// Negative when nobody listens there.
int try_dial(std::uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) fail("socket");
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

int dial(std::uint16_t port) {
    const int fd = try_dial(port);
    if (fd < 0) fail("connect");
    return fd;
}

class Client {
public:
    explicit Client(const Options& options);
    int run();

private:
    void start_due(TimePoint now);
    void issue(std::uint32_t slot, TimePoint now);
    void turn(std::optional<TimePoint> until);
    void receive();
    void accept(const Frame& frame, TimePoint now);
    void flush();
    void run_until(TimePoint end);

    Options options_;
    Connection connection_;
    int epoll_ = -1;
    bool waits_for_room_ = false;
    std::vector<Slot> slots_;
    std::vector<std::byte> request_;
    TimePoint began_;
    std::uint32_t started_ = 0;
    std::uint32_t busy_ = 0;
    Window window_;
    Tally tally_;
};

Client::Client(const Options& options)
    : options_{options}, connection_{dial(options.port)}, epoll_{epoll_create1(EPOLL_CLOEXEC)} {
    epoll_event event{.events = EPOLLIN, .data = {.fd = connection_.fd()}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection_.fd(), &event) != 0) fail("epoll_ctl");
    slots_.resize(options_.concurrency);
    if (!options_.counts_items()) {
        request_.resize(options_.size, std::byte{'x'});
    } else {
        const StreamRequest request{options_.items, options_.size, options_.pace_us};
        request_.resize(sizeof request);
        std::memcpy(request_.data(), &request, sizeof request);
    }
}

int Client::run() {
    began_ = Clock::now();
    const auto seconds = [](double value) {
        return std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>{value});
    };
    run_until(began_ + seconds(options_.warmup));
    window_.open();
    run_until(Clock::now() + seconds(options_.seconds));
    window_.close();
    const auto limit = Clock::now() + drain_limit;
    while (busy_ != 0 && Clock::now() < limit) turn(limit);
    tally_.errors += busy_;
    window_.report("raw", options_, tally_);
    return 0;
}

void Client::run_until(TimePoint end) {
    for (auto now = Clock::now(); now < end; now = Clock::now()) {
        start_due(now);
        auto until = end;
        if (started_ < options_.concurrency)
            until = std::min(end, began_ + options_.start_delay(started_));
        turn(until);
    }
}

void Client::start_due(TimePoint now) {
    while (started_ < options_.concurrency && began_ + options_.start_delay(started_) <= now) {
        issue(started_++, now);
    }
    flush();
}

void Client::issue(std::uint32_t slot, TimePoint now) {
    slots_[slot] = {.issued = now, .received = 0, .busy = true};
    ++busy_;
    const auto kind = options_.mode == Mode::unary  ? Kind::unary_request
                      : options_.mode == Mode::bulk ? Kind::bulk_request
                                                    : Kind::stream_request;
    const Header header{
        .length = static_cast<std::uint32_t>(request_.size()),
        .call = slot,
        .kind = kind,
        .last = 1,
        .reserved = 0
    };
    connection_.append(header, request_);
}

void Client::turn(std::optional<TimePoint> until) {
    const auto wait = wait_until(until);
    epoll_event event{};
    const int count = epoll_pwait2(epoll_, &event, 1, wait ? &*wait : nullptr, nullptr);
    if (count < 0 && errno != EINTR) fail("epoll_pwait2");
    if (count <= 0) return;
    if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive();
    flush();
}

void Client::receive() {
    if (!connection_.receive()) {
        errno = ECONNRESET;
        fail("the server closed the connection");
    }
    const auto now = Clock::now();
    while (const auto frame = connection_.next()) accept(*frame, now);
}

void Client::accept(const Frame& frame, TimePoint now) {
    if (frame.header.call >= slots_.size() || !slots_[frame.header.call].busy) {
        ++tally_.errors;
        return;
    }
    Slot& slot = slots_[frame.header.call];
    if (frame.payload.size() != options_.reply_size()) ++tally_.errors;
    const bool recording = window_.recording();
    if (frame.header.kind == Kind::item && recording) {
        ++tally_.items;
        if (options_.mode == Mode::paced) {
            tally_.added_delay.record(now - options_.due(slot.issued, slot.received));
        }
    }
    ++slot.received;
    if (frame.header.last == 0) return;
    slot.busy = false;
    --busy_;
    if (options_.counts_items() && slot.received != options_.items) ++tally_.errors;
    if (recording) {
        ++tally_.requests;
        tally_.latency.record(now - slot.issued);
    }
    if (!window_.stopped()) issue(frame.header.call, now);
}

void Client::flush() {
    if (!connection_.flush()) fail("send");
    const bool waits = connection_.unsent() != 0;
    if (waits == waits_for_room_) return;
    waits_for_room_ = waits;
    epoll_event event{
        .events = EPOLLIN | (waits ? EPOLLOUT : 0U), .data = {.fd = connection_.fd()}
    };
    if (epoll_ctl(epoll_, EPOLL_CTL_MOD, connection_.fd(), &event) != 0) fail("epoll_ctl");
}

/// Mode `first`: dials until the server is there, asks once.
int run_first(const Options& options) {
    announce_waiting();
    const auto limit = Clock::now() + std::chrono::minutes{1};
    int fd = -1;
    while ((fd = try_dial(options.port)) < 0) {
        if (Clock::now() > limit) fail("connect");
        std::this_thread::sleep_for(std::chrono::microseconds{100});
    }
    Connection connection{fd};
    const std::vector<std::byte> request(options.size, std::byte{'x'});
    connection.append(
        {.length = options.size, .call = 0, .kind = Kind::unary_request, .last = 1, .reserved = 0},
        request
    );
    if (!connection.flush()) fail("send");
    while (!connection.next()) {
        pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
        if (poll(&ready, 1, -1) < 0 && errno != EINTR) fail("poll");
        if (!connection.receive()) fail("recv");
    }
    report_first("raw", Clock::now());
    return 0;
}

}  // namespace

int run_client(const Options& options) {
    return options.mode == Mode::first ? run_first(options) : Client{options}.run();
}

}  // namespace bench::raw
