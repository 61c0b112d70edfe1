// Sockets of ZeroMQ, without its words.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// What is implemented here lives in a module of its own, which is loaded when somebody first needs
// ZeroMQ: programs that do not are spared its start. So nothing below may need a symbol of stator.

namespace stator::events {

struct ZmqStatus {
    bool ok = true;
    bool full = false;  ///< nothing was sent, since too much waits
    std::string message{};
};

/// Bounds of every socket; durations in milliseconds.
struct ZmqLimits {
    int most_unsent = 100'000;             ///< messages for one peer, and from one
    long long most_message = 64LL << 20U;  ///< bytes of a part that is accepted
    /// Bytes of last parts that wait at a socket, for however many peers; of those that are small
    /// only the number is bounded.
    std::size_t most_unsent_bytes = std::size_t{256} << 20U;
    int most_stall = 10'000;  ///< a peer that takes nothing for so long loses its connection
    int least_pause = 50;     ///< between attempts to connect again
    int most_pause = 2000;
    int most_sockets = 8192;
};

/// A bound socket that sends to whoever has subscribed. Used by one thread at a time; its end
/// closes it: what waits for peers is still sent until the context ends.
class ZmqPublishing {
public:
    ZmqPublishing() = default;
    ZmqPublishing(const ZmqPublishing&) = delete;
    ZmqPublishing& operator=(const ZmqPublishing&) = delete;
    virtual ~ZmqPublishing() = default;
    virtual unsigned short port() const noexcept = 0;
    /// Never waits: a peer that has too many messages waiting does not get it; nobody does when
    /// the bytes of all that wait are too many.
    virtual ZmqStatus send(std::span<const std::string_view> parts) = 0;
    /// Takes note of peers that have come and gone, as `send` does.
    virtual void tend() noexcept = 0;
};

/// A socket that is dialled from. Used by one thread at a time. Every call but `fd` may take note
/// of what has arrived: afterwards `receive` is to be called until there is nothing.
class ZmqSubscribing {
public:
    ZmqSubscribing() = default;
    ZmqSubscribing(const ZmqSubscribing&) = delete;
    ZmqSubscribing& operator=(const ZmqSubscribing&) = delete;
    virtual ~ZmqSubscribing() = default;
    /// Readable once something may have arrived since `receive` has found nothing.
    virtual int fd() const noexcept = 0;
    virtual ZmqStatus subscribe(const std::string& topic) = 0;
    virtual void unsubscribe(const std::string& topic) noexcept = 0;
    /// Tries until it succeeds, and again whenever the connection is lost. Waits for nothing.
    virtual ZmqStatus connect(const std::string& endpoint) = 0;
    virtual void disconnect(const std::string& endpoint) noexcept = 0;
    /// The parts of the next message, good until the next call; false when there is none.
    virtual bool receive(std::vector<std::string_view>& parts) = 0;
};

/// The sockets of one bus with the threads that serve them. Thread-safe; outlives its sockets.
class ZmqContext {
public:
    ZmqContext() = default;
    ZmqContext(const ZmqContext&) = delete;
    ZmqContext& operator=(const ZmqContext&) = delete;
    /// After `end`, or it does the same without time.
    virtual ~ZmqContext() = default;
    /// `address`: "tcp://127.0.0.1:*". Null with the reason in `status`.
    virtual std::unique_ptr<ZmqPublishing> bind(const std::string& address, ZmqStatus& status) = 0;
    virtual std::unique_ptr<ZmqSubscribing> dial(ZmqStatus& status) = 0;
    /// How long sockets that are closed from now on go on to send; a second unless said so.
    virtual void linger(int milliseconds) noexcept = 0;
    /// Blocks until the sockets, which must all be closed, have sent what waits, or their time is
    /// over.
    virtual void end() noexcept = 0;
};

/// Of the module: `stator_zmq_module_version` must return this, before anything else.
inline constexpr int zmq_module_version = 2;
using ZmqModuleVersion = int (*)();
/// Null when there are too few descriptors or threads.
using ZmqModuleMake = ZmqContext* (*)(const ZmqLimits*);

}  // namespace stator::events
