// The module: sockets of libzmq. Nothing here may need a symbol of stator (events/zmq_wire.hpp).
#include <zmq.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "events/zmq_wire.hpp"

namespace stator::events {

namespace {

ZmqStatus failure() { return {.ok = false, .full = false, .message = zmq_strerror(zmq_errno())}; }

/// A socket with its bounds; closed with whatever time the context gives it.
class Socket {
public:
    Socket(void* socket, std::shared_ptr<std::atomic<int>> linger) noexcept
        : socket_{socket}, linger_{std::move(linger)} {}
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() {
        if (socket_ == nullptr) return;
        (void)set(ZMQ_LINGER, linger_->load());
        zmq_close(socket_);
    }
    explicit operator bool() const noexcept { return socket_ != nullptr; }
    void* raw() const noexcept { return socket_; }

    template <class T>
    bool set(int option, T value) const noexcept {
        return zmq_setsockopt(socket_, option, &value, sizeof(value)) == 0;
    }
    bool set_text(int option, const std::string& text) const noexcept {
        return zmq_setsockopt(socket_, option, text.data(), text.size()) == 0;
    }
    template <class T>
    T get(int option) const noexcept {
        T value{};
        std::size_t size = sizeof(value);
        (void)zmq_getsockopt(socket_, option, &value, &size);
        return value;
    }
    bool bound(const ZmqLimits& limits) const noexcept {
        return set(ZMQ_SNDHWM, limits.most_unsent) && set(ZMQ_RCVHWM, limits.most_unsent) &&
               set(ZMQ_MAXMSGSIZE, static_cast<std::int64_t>(limits.most_message)) &&
               set(ZMQ_TCP_MAXRT, limits.most_stall) &&
               set(ZMQ_RECONNECT_IVL, limits.least_pause) &&
               set(ZMQ_RECONNECT_IVL_MAX, limits.most_pause) && set(ZMQ_IPV6, 1) &&
               set(ZMQ_TCP_KEEPALIVE, 1) && set(ZMQ_TCP_KEEPALIVE_IDLE, 10) &&
               set(ZMQ_TCP_KEEPALIVE_INTVL, 5) && set(ZMQ_TCP_KEEPALIVE_CNT, 3);
    }

private:
    void* socket_;
    std::shared_ptr<std::atomic<int>> linger_;
};

unsigned short port_of(const Socket& socket) {
    std::array<char, 256> endpoint{};
    std::size_t size = endpoint.size();
    if (zmq_getsockopt(socket.raw(), ZMQ_LAST_ENDPOINT, endpoint.data(), &size) != 0) return 0;
    const std::string_view text{endpoint.data()};
    const auto colon = text.rfind(':');
    unsigned short port = 0;
    if (colon != text.npos)
        std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
    return port;
}

/// The bytes of what libzmq holds for one socket: payloads that wait for peers, each once however
/// many there are. Thread-safe: libzmq gives back on its own threads.
/// Small ones are bounded by their number: to count them would cost more than to send them.
class HeldBytes : public std::enable_shared_from_this<HeldBytes> {
public:
    explicit HeldBytes(std::size_t most) noexcept : most_{most} {}

    /// A message with a copy of `payload` that is counted until libzmq is done with it. False if
    /// that were too much, or there is no memory.
    bool fill(zmq_msg_t& message, std::string_view payload) {
        if (payload.size() < least_counted) {
            if (zmq_msg_init_size(&message, payload.size()) != 0) return false;
            std::ranges::copy(payload, static_cast<char*>(zmq_msg_data(&message)));
            return true;
        }
        if (held_.fetch_add(payload.size()) + payload.size() > most_) {
            held_ -= payload.size();
            return false;
        }
        auto* const block = new Block{shared_from_this(), std::string{payload}};
        if (zmq_msg_init_data(&message, block->bytes.data(), payload.size(), &give_back, block) ==
            0)
            return true;
        give_back(nullptr, block);
        return false;
    }

private:
    static constexpr std::size_t least_counted = 1024;
    struct Block {
        std::shared_ptr<HeldBytes> of;
        std::string bytes;
    };
    static void give_back(void*, void* hint) {
        const std::unique_ptr<Block> block{static_cast<Block*>(hint)};
        block->of->held_ -= block->bytes.size();
    }
    const std::size_t most_;
    std::atomic<std::size_t> held_{0};
};

class Publishing final : public ZmqPublishing {
public:
    Publishing(std::unique_ptr<Socket> socket, std::size_t most_unsent)
        : socket_{std::move(socket)},
          port_{port_of(*socket_)},
          held_{std::make_shared<HeldBytes>(most_unsent)} {}

    unsigned short port() const noexcept override { return port_; }

    ZmqStatus send(std::span<const std::string_view> parts) override {
        zmq_msg_t last;
        if (!held_->fill(last, parts.back()))
            return {.ok = false, .full = true, .message = "too much waits for those who subscribe"};
        for (const auto& part : parts.first(parts.size() - 1)) {
            while (zmq_send(socket_->raw(), part.data(), part.size(), ZMQ_DONTWAIT | ZMQ_SNDMORE) <
                   0) {
                if (zmq_errno() != EINTR) return give_up(last);
            }
        }
        while (zmq_msg_send(&last, socket_->raw(), ZMQ_DONTWAIT) < 0) {
            if (zmq_errno() != EINTR) return give_up(last);
        }
        return {};
    }

    void tend() noexcept override { (void)socket_->get<int>(ZMQ_EVENTS); }

private:
    static ZmqStatus give_up(zmq_msg_t& message) {
        auto why = failure();
        zmq_msg_close(&message);
        return why;
    }

    const std::unique_ptr<Socket> socket_;
    const unsigned short port_;
    const std::shared_ptr<HeldBytes> held_;
};

class Subscribing final : public ZmqSubscribing {
public:
    explicit Subscribing(std::unique_ptr<Socket> socket)
        : socket_{std::move(socket)}, fd_{socket_->get<int>(ZMQ_FD)} {}
    ~Subscribing() override { drop(); }

    int fd() const noexcept override { return fd_; }

    ZmqStatus subscribe(const std::string& topic) override {
        return socket_->set_text(ZMQ_SUBSCRIBE, topic) ? ZmqStatus{} : failure();
    }
    void unsubscribe(const std::string& topic) noexcept override {
        (void)socket_->set_text(ZMQ_UNSUBSCRIBE, topic);
    }
    ZmqStatus connect(const std::string& endpoint) override {
        return zmq_connect(socket_->raw(), endpoint.c_str()) == 0 ? ZmqStatus{} : failure();
    }
    void disconnect(const std::string& endpoint) noexcept override {
        (void)zmq_disconnect(socket_->raw(), endpoint.c_str());
    }

    bool receive(std::vector<std::string_view>& parts) override {
        drop();
        parts.clear();
        bool more = true;
        while (more) {
            // What has too many parts is read to its end, the last ones over each other.
            if (count_ == parts_.size()) {
                zmq_msg_close(&parts_[--count_]);
                parts.pop_back();
            }
            auto* const part = &parts_[count_];
            zmq_msg_init(part);
            ++count_;
            // Only the first part may be missing: a message arrives as a whole.
            int size = -1;
            do {
                size = zmq_msg_recv(part, socket_->raw(), ZMQ_DONTWAIT);
            } while (size < 0 && zmq_errno() == EINTR);
            if (size < 0) return false;
            more = zmq_msg_more(part) != 0;
            parts.emplace_back(
                static_cast<const char*>(zmq_msg_data(part)), static_cast<std::size_t>(size)
            );
        }
        return true;
    }

private:
    void drop() noexcept {
        while (count_ > 0) zmq_msg_close(&parts_[--count_]);
    }
    const std::unique_ptr<Socket> socket_;
    const int fd_;
    std::array<zmq_msg_t, 5> parts_{};  // one more than an event has
    std::size_t count_ = 0;
};

class Context final : public ZmqContext {
public:
    Context(void* context, ZmqLimits limits) noexcept : context_{context}, limits_{limits} {
        (void)zmq_ctx_set(context_, ZMQ_MAX_SOCKETS, limits.most_sockets);
    }
    ~Context() override {
        linger(0);
        end();
    }

    std::unique_ptr<ZmqPublishing> bind(const std::string& address, ZmqStatus& status) override {
        auto socket = open(ZMQ_PUB, status);
        if (!socket) return nullptr;
        if (zmq_bind(socket->raw(), address.c_str()) != 0) {
            status = failure();
            return nullptr;
        }
        return std::make_unique<Publishing>(std::move(socket), limits_.most_unsent_bytes);
    }

    std::unique_ptr<ZmqSubscribing> dial(ZmqStatus& status) override {
        auto socket = open(ZMQ_SUB, status);
        if (!socket) return nullptr;
        return std::make_unique<Subscribing>(std::move(socket));
    }

    void linger(int milliseconds) noexcept override { *linger_ = milliseconds; }

    void end() noexcept override {
        auto* const context = context_.exchange(nullptr);
        if (context == nullptr) return;
        while (zmq_ctx_term(context) != 0 && zmq_errno() == EINTR) {
        }
    }

private:
    std::unique_ptr<Socket> open(int type, ZmqStatus& status) {
        auto socket = std::make_unique<Socket>(zmq_socket(context_, type), linger_);
        if (*socket && socket->bound(limits_)) return socket;
        status = failure();
        return nullptr;
    }

    std::atomic<void*> context_;
    const ZmqLimits limits_;
    const std::shared_ptr<std::atomic<int>> linger_ = std::make_shared<std::atomic<int>>(1000);
};

}  // namespace
}  // namespace stator::events

// As C has no references, and the loader no types.
extern "C" {

__attribute__((visibility("default"))) int stator_zmq_module_version() {
    return stator::events::zmq_module_version;
}

__attribute__((visibility("default"))) stator::events::ZmqContext* stator_zmq_make(
    const stator::events::ZmqLimits* limits
) {
    auto* const context = zmq_ctx_new();
    return context == nullptr ? nullptr : new stator::events::Context{context, *limits};
}

}  // extern "C"
