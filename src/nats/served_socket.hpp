// ServedSocket: the socket of a nats.c connection that has no threads of its own to read and write
// it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include <nats/nats.h>

namespace stator::nats {

/// nats.c says which socket it has and whether there is something to write, on whatever thread it
/// does so; one thread, that of its maker, waits for the socket and lets nats.c read and write. So
/// what is published together goes out in one write.
///
/// Part of the module: nothing here may need a symbol of stator (nats/wire.hpp).
class ServedSocket : public std::enable_shared_from_this<ServedSocket> {
public:
    using Clock = std::chrono::steady_clock;

    /// The calling thread is the one that serves, and calls `was_read` each time that nats.c has
    /// read something. `none()` when no descriptor is left for it.
    explicit ServedSocket(std::function<void()> was_read);
    ServedSocket(const ServedSocket&) = delete;
    ServedSocket& operator=(const ServedSocket&) = delete;
    ~ServedSocket();
    bool none() const noexcept { return changed_ < 0; }

    /// Makes `options` speak to this, which must live until the connection is closed.
    natsStatus serves(natsOptions* options);

    /// Whether there is a socket. Not while the connection is lost, or before the first.
    bool connected() const;
    /// Writes what there is, reading meanwhile. False when the server took nothing more until
    /// `deadline`: the connection is cut then.
    void write_all(Clock::time_point deadline);
    /// Reads and writes until `wake` can be read: true then, false after `most`.
    bool wait(int wake, Clock::duration most);

private:
    static natsStatus on_attach(void** user, void* loop, natsConnection* connection, natsSock fd);
    static natsStatus on_read_wanted(void* user, bool wanted);
    static natsStatus on_write_wanted(void* user, bool wanted);
    static natsStatus on_detach(void* user);

    struct State {
        natsConnection* connection = nullptr;
        int descriptor = -1;
        bool writes = false;
    };
    State state() const;
    void change(bool wakes, auto&& how);
    /// One wait. True if `wake` can be read.
    bool turn(int wake, Clock::time_point deadline);
    void cut();

    const std::function<void()> was_read_;
    const std::thread::id server_;
    const int changed_;  // can be read when another thread has changed the state
    mutable std::mutex lock_;
    State state_;
};

}  // namespace stator::nats
