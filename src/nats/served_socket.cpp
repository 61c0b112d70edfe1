#include "nats/served_socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace stator::nats {

namespace {

// What nats.c keeps for its connection, from the first socket until the connection is closed.
using Kept = std::shared_ptr<ServedSocket>;

int milliseconds_until(ServedSocket::Clock::time_point deadline) {
    const auto left = deadline - ServedSocket::Clock::now();
    const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    return static_cast<int>(std::clamp<std::int64_t>(rounded, 0, 60'000));
}

void empty(int descriptor) {
    std::uint64_t count = 0;
    (void)!::read(descriptor, &count, sizeof count);
}

}  // namespace

ServedSocket::ServedSocket(std::function<void()> was_read)
    : was_read_{std::move(was_read)},
      server_{std::this_thread::get_id()},
      changed_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {}

ServedSocket::~ServedSocket() {
    if (changed_ >= 0) ::close(changed_);
}

natsStatus ServedSocket::serves(natsOptions* options) {
    return natsOptions_SetEventLoop(
        options, this, &on_attach, &on_read_wanted, &on_write_wanted, &on_detach
    );
}

// ---- what nats.c says, often under its lock: nothing here calls it

void ServedSocket::change(bool wakes, auto&& how) {
    {
        const std::lock_guard guard{lock_};
        how(state_);
    }
    // The thread that serves looks before it waits.
    if (!wakes || std::this_thread::get_id() == server_) return;
    const std::uint64_t one = 1;
    (void)!::write(changed_, &one, sizeof one);
}

natsStatus ServedSocket::on_attach(
    void** user, void* loop, natsConnection* connection, natsSock fd
) {
    auto* const self = static_cast<ServedSocket*>(loop);
    (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);  // or a child process would keep it open
    // A connection that was given up may speak of its end after its wire has forgotten it.
    if (*user == nullptr) *user = new Kept{self->shared_from_this()};
    self->change(true, [&](State& state) {
        state = {.connection = connection, .descriptor = fd, .writes = false};
    });
    return NATS_OK;
}

natsStatus ServedSocket::on_read_wanted(void* user, bool wanted) {
    // It is said to be wanted by nothing but a new socket, and not wanted before one is closed.
    if (!wanted) (*static_cast<Kept*>(user))->change(true, [](State& state) { state = {}; });
    return NATS_OK;
}

natsStatus ServedSocket::on_write_wanted(void* user, bool wanted) {
    (*static_cast<Kept*>(user))->change(wanted, [&](State& state) { state.writes = wanted; });
    return NATS_OK;
}

natsStatus ServedSocket::on_detach(void* user) {
    const std::unique_ptr<Kept> kept{static_cast<Kept*>(user)};
    (*kept)->change(true, [](State& state) { state = {}; });
    return NATS_OK;
}

// ---- the thread that serves

ServedSocket::State ServedSocket::state() const {
    const std::lock_guard guard{lock_};
    return state_;
}

bool ServedSocket::connected() const { return state().descriptor >= 0; }

void ServedSocket::cut() {
    const std::lock_guard guard{lock_};
    // Reading sees its end next, and nats.c does what it does then.
    if (state_.descriptor >= 0) ::shutdown(state_.descriptor, SHUT_RDWR);
}

bool ServedSocket::turn(int wake, Clock::time_point deadline) {
    const auto now = state();
    const auto wanted = static_cast<short>(now.writes ? POLLIN | POLLOUT : POLLIN);
    std::array<pollfd, 3> all{
        {{now.descriptor, wanted, 0}, {changed_, POLLIN, 0}, {wake, POLLIN, 0}}
    };
    if (::poll(all.data(), all.size(), milliseconds_until(deadline)) <= 0) return false;
    const auto& [socket, changed, woken] = all;
    if (changed.revents != 0) empty(changed_);
    // A descriptor that was closed meanwhile (POLLNVAL) has been taken back by now.
    if ((socket.revents & (POLLIN | POLLERR | POLLHUP)) != 0) {
        natsConnection_ProcessReadEvent(now.connection);
        was_read_();
    }
    if ((socket.revents & POLLOUT) != 0) natsConnection_ProcessWriteEvent(now.connection);
    return woken.revents != 0;
}

void ServedSocket::write_all(Clock::time_point deadline) {
    const auto now = state();
    if (!now.writes) return;
    natsConnection_ProcessWriteEvent(now.connection);
    while (state().writes) {
        if (Clock::now() >= deadline) return cut();
        (void)turn(-1, deadline);
    }
}

bool ServedSocket::wait(int wake, Clock::duration most) {
    const auto end = Clock::now() + most;
    do {
        if (turn(wake, end)) return true;
    } while (Clock::now() < end);
    return false;
}

}  // namespace stator::nats
