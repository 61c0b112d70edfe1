// The module: Wire over nats.c. Nothing here may need a symbol of stator (nats/wire.hpp).
#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nats/nats.h>

#include "nats/nkey.hpp"
#include "nats/served_socket.hpp"
#include "nats/wire.hpp"

namespace stator::nats {

namespace {

template <class T, void (*destroy)(T*)>
struct Destroy {
    void operator()(T* what) const noexcept { destroy(what); }
};
using OptionsPtr = std::unique_ptr<natsOptions, Destroy<natsOptions, natsOptions_Destroy>>;
using ConnectionPtr =
    std::unique_ptr<natsConnection, Destroy<natsConnection, natsConnection_Destroy>>;
using SubscriptionPtr =
    std::unique_ptr<natsSubscription, Destroy<natsSubscription, natsSubscription_Destroy>>;
using MessagePtr = std::unique_ptr<natsMsg, Destroy<natsMsg, natsMsg_Destroy>>;
struct Free {
    void operator()(const char** what) const noexcept { std::free(what); }
};
using Texts = std::unique_ptr<const char*, Free>;

WireError kind_of(natsStatus status) {
    switch (status) {
        case NATS_OK:
            return WireError::none;
        case NATS_CONNECTION_AUTH_FAILED:
        case NATS_NOT_PERMITTED:
            return WireError::authentication;
        case NATS_SSL_ERROR:
        case NATS_SECURE_CONNECTION_WANTED:
        case NATS_SECURE_CONNECTION_REQUIRED:
            return WireError::tls;
        case NATS_MAX_PAYLOAD:
            return WireError::too_large;
        case NATS_INVALID_ARG:
        case NATS_INVALID_SUBJECT:
        case NATS_INVALID_QUEUE_NAME:
            return WireError::invalid;
        case NATS_NO_SERVER:
        case NATS_IO_ERROR:
        case NATS_TIMEOUT:
        case NATS_CONNECTION_CLOSED:
        case NATS_CONNECTION_DISCONNECTED:
        case NATS_STALE_CONNECTION:
        case NATS_INSUFFICIENT_BUFFER:
        case NATS_NOT_YET_CONNECTED:
            return WireError::unreachable;
        default:
            return WireError::other;
    }
}

WireStatus status_of(natsStatus status) {
    if (status == NATS_OK) return {};
    std::string message = natsStatus_GetText(status);
    natsStatus last = NATS_OK;
    const char* const more = nats_GetLastError(&last);
    if (last == status && more != nullptr && *more != '\0') message += std::string{": "} + more;
    return {kind_of(status), std::move(message)};
}

/// What callbacks of a connection, and those of a subscription, are given; each kept until nats.c
/// has said that no further call will come.
struct Listener {
    std::shared_ptr<WireEvents> events;
    std::int64_t least_pause = 0;
    std::int64_t most_pause = 0;
    std::string seed;
    std::shared_ptr<std::atomic<bool>> wanted = std::make_shared<std::atomic<bool>>(true);
};
struct Route {
    std::shared_ptr<WireEvents> events;
    std::uint64_t id = 0;
};

std::string server_of(natsConnection* connection) {
    std::array<char, 512> url{};
    if (natsConnection_GetConnectedUrl(connection, url.data(), url.size()) != NATS_OK) return {};
    return url.data();
}

void tell_connected(natsConnection* connection, WireEvents& events) {
    const auto most = natsConnection_GetMaxPayload(connection);
    events.on_connected(
        static_cast<std::size_t>(std::max<std::int64_t>(most, 0)), server_of(connection)
    );
}

// ---- callbacks

int status_in(natsMsg* message) {
    const char* text = nullptr;
    if (natsMsgHeader_Get(message, "Status", &text) != NATS_OK || text == nullptr) return 0;
    int status = 0;
    std::from_chars(text, text + std::char_traits<char>::length(text), status);
    return status;
}

std::vector<HeaderView> headers_of(natsMsg* message) {
    std::vector<HeaderView> headers;
    const char** keys = nullptr;
    int count = 0;
    if (natsMsgHeader_Keys(message, &keys, &count) != NATS_OK) return headers;
    const Texts kept{keys};
    for (int i = 0; i < count; ++i) {
        const char** values = nullptr;
        int size = 0;
        if (natsMsgHeader_Values(message, keys[i], &values, &size) != NATS_OK) continue;
        const Texts kept_values{values};
        for (int j = 0; j < size; ++j) headers.push_back({keys[i], values[j]});
    }
    return headers;
}

/// nats.c gives each message that is done with to a thread that frees it, and wakes that thread for
/// it: many at a time cost one wake. Of each thread; small ones only, so that little is kept by one
/// that rests.
void put_away(MessagePtr message) {
    constexpr std::size_t most = 64;
    constexpr int most_bytes = 2048;
    thread_local std::vector<MessagePtr> done = [] {
        std::vector<MessagePtr> made;
        made.reserve(most);
        return made;
    }();
    if (natsMsg_GetDataLength(message.get()) > most_bytes) return;
    done.push_back(std::move(message));
    if (done.size() == most) done.clear();
}

void tell(const Route& route, MessagePtr message) {
    auto* const raw = message.get();
    const char* const reply = natsMsg_GetReply(raw);
    const auto headers = headers_of(raw);
    route.events->on_message(
        route.id,
        Incoming{
            .subject = natsMsg_GetSubject(raw),
            .reply = reply == nullptr ? "" : reply,
            .payload = {natsMsg_GetData(raw), static_cast<std::size_t>(natsMsg_GetDataLength(raw))},
            .headers = headers,
            .status = headers.empty() ? 0 : status_in(raw),
        }
    );
    put_away(std::move(message));
}

void on_message(natsConnection*, natsSubscription*, natsMsg* raw, void* closure) {
    tell(*static_cast<Route*>(closure), MessagePtr{raw});
}

void on_subscription_over(void* closure) {
    const std::unique_ptr<Route> route{static_cast<Route*>(closure)};
    route->events->on_drained(route->id);
}

void on_disconnected(natsConnection* connection, void* closure) {
    const char* why = nullptr;
    (void)natsConnection_GetLastError(connection, &why);
    static_cast<Listener*>(closure)->events->on_disconnected(
        why == nullptr || *why == '\0' ? "the server has closed it" : why
    );
}

void on_reconnected(natsConnection* connection, void* closure) {
    tell_connected(connection, *static_cast<Listener*>(closure)->events);
}

void on_closed(natsConnection*, void* closure) {
    const std::unique_ptr<Listener> listener{static_cast<Listener*>(closure)};
    if (*listener->wanted) listener->events->on_given_up();
}

void on_error(natsConnection*, natsSubscription*, natsStatus status, void* closure) {
    static_cast<Listener*>(closure)->events->on_problem(natsStatus_GetText(status));
}

/// After all servers were tried once more; of random length, since others have lost theirs, too.
std::int64_t pause_before(natsConnection*, int attempts, void* closure) {
    const auto& listener = *static_cast<Listener*>(closure);
    const auto doublings = std::min(attempts, 16);
    const auto most = std::min(listener.most_pause, listener.least_pause << doublings);
    thread_local std::minstd_rand random{std::random_device{}()};
    return std::uniform_int_distribution<std::int64_t>{most / 2, most}(random);
}

natsStatus sign(char**, unsigned char** signature, int* size, const char* nonce, void* closure) {
    return nats_Sign(static_cast<Listener*>(closure)->seed.c_str(), nonce, signature, size);
}

// ---- options

/// The first that fails.
class Setting {
public:
    Setting& operator<<(natsStatus status) {
        if (status_ == NATS_OK) status_ = status;
        return *this;
    }
    natsStatus status() const { return status_; }

private:
    natsStatus status_ = NATS_OK;
};

natsStatus set_identity(natsOptions* to, const WireOptions& from, Listener& listener) {
    if (!from.username.empty())
        return natsOptions_SetUserInfo(to, from.username.c_str(), from.password.c_str());
    if (!from.token.empty()) return natsOptions_SetToken(to, from.token.c_str());
    if (!from.nkey.empty()) {
        const auto key = public_key_of(from.nkey);
        if (!key) return NATS_INVALID_ARG;
        listener.seed = from.nkey;
        return natsOptions_SetNKey(to, key->c_str(), &sign, &listener);
    }
    if (from.credentials_file.empty()) return NATS_OK;
    return natsOptions_SetUserCredentialsFromFiles(to, from.credentials_file.c_str(), nullptr);
}

natsStatus set_tls(natsOptions* to, const WireOptions& from) {
    Setting setting;
    setting << natsOptions_SetSecure(to, true);
    if (!from.ca_file.empty())
        setting << natsOptions_LoadCATrustedCertificates(to, from.ca_file.c_str());
    if (!from.client_cert_file.empty()) {
        setting << natsOptions_LoadCertificatesChain(
            to, from.client_cert_file.c_str(), from.client_key_file.c_str()
        );
    }
    if (from.tls_insecure) setting << natsOptions_SkipServerVerification(to, true);
    return setting.status();
}

natsStatus set_pace(natsOptions* to, const WireOptions& from, Listener& listener) {
    Setting setting;
    setting << natsOptions_SetTimeout(to, from.connect_timeout)
            << natsOptions_SetWriteDeadline(to, from.write_timeout)  // of connecting
            << natsOptions_SetPingInterval(to, from.ping_interval)
            << natsOptions_SetMaxPingsOut(to, 2) << natsOptions_SetMaxReconnect(to, -1)
            << natsOptions_SetCustomReconnectDelay(to, &pause_before, &listener)
            // Nothing is kept for a later connection: who publishes is told.
            << natsOptions_SetReconnectBufSize(to, 1) << natsOptions_SetSendAsap(to, true)
            << natsOptions_UseGlobalMessageDelivery(to, true);
    return setting.status();
}

natsStatus set_callbacks(natsOptions* to, Listener& listener) {
    Setting setting;
    setting << natsOptions_SetDisconnectedCB(to, &on_disconnected, &listener)
            << natsOptions_SetReconnectedCB(to, &on_reconnected, &listener)
            << natsOptions_SetClosedCB(to, &on_closed, &listener)
            << natsOptions_SetErrorHandler(to, &on_error, &listener);
    return setting.status();
}

// ---- subscriptions

/// What is not wanted is dropped where it is counted, not here.
natsStatus unlimited(natsSubscription* subscription) {
    return natsSubscription_SetPendingLimits(subscription, -1, -1);
}

/// Whose messages a thread of nats.c hands on.
natsStatus subscribe_by_thread(
    natsConnection* to, const Topic& topic, std::unique_ptr<Route> route, SubscriptionPtr& made
) {
    const char* const pattern = topic.pattern.c_str();
    natsSubscription* raw = nullptr;
    auto status = topic.queue.empty()
                      ? natsConnection_Subscribe(&raw, to, pattern, &on_message, route.get())
                      : natsConnection_QueueSubscribe(
                            &raw, to, pattern, topic.queue.c_str(), &on_message, route.get()
                        );
    if (status != NATS_OK) return status;
    made.reset(raw);
    status = natsSubscription_SetOnCompleteCB(raw, &on_subscription_over, route.get());
    (void)route.release();  // from here on it may be in use
    return status;
}

/// Whose messages are taken where they are read, which spares each the way over another thread.
/// nats.c takes one with the status 503 for the end of a question of its own and keeps it.
class ServedSubscription {
public:
    explicit ServedSubscription(Route route) : route_{std::move(route)} {}

    natsStatus open(natsConnection* to, const Topic& topic) {
        const char* const pattern = topic.pattern.c_str();
        natsSubscription* raw = nullptr;
        const auto status =
            topic.queue.empty()
                ? natsConnection_SubscribeSync(&raw, to, pattern)
                : natsConnection_QueueSubscribeSync(&raw, to, pattern, topic.queue.c_str());
        made_.reset(raw);
        return status;
    }
    natsSubscription* made() const { return made_.get(); }
    bool draining() const { return draining_; }

    void hand_on() {
        int waiting = 0;
        if (natsSubscription_GetPending(made_.get(), &waiting, nullptr) != NATS_OK) return;
        for (; waiting > 0; --waiting) {
            natsMsg* raw = nullptr;
            if (natsSubscription_NextMsg(&raw, made_.get(), 0) == NATS_OK)
                tell(route_, MessagePtr{raw});
        }
    }
    /// False when it is over at once.
    bool drain(std::int64_t timeout) {
        draining_ = natsSubscription_DrainTimeout(made_.get(), timeout) == NATS_OK;
        return draining_;
    }
    /// Tells of it once what had been sent has come.
    void look_whether_drained() {
        if (!draining_) return;
        hand_on();
        const auto outcome = natsSubscription_DrainCompletionStatus(made_.get());
        // One that nats.c has closed for taking too long has no outcome.
        if (outcome == NATS_ILLEGAL_STATE && natsSubscription_IsValid(made_.get())) return;
        draining_ = false;
        route_.events->on_drained(route_.id);
    }

private:
    const Route route_;
    SubscriptionPtr made_;
    bool draining_ = false;
};

// ---- the wire

class NatsWire final : public Wire {
public:
    NatsWire(WireOptions options, std::shared_ptr<WireEvents> events)
        : options_{std::move(options)}, events_{std::move(events)} {}
    ~NatsWire() override { drop(); }

    WireStatus connect() override {
        auto status = attempt(options_.tls);
        // The server insists, whatever its address says.
        if (status == NATS_SECURE_CONNECTION_REQUIRED) status = attempt(true);
        if (status != NATS_OK) return status_of(status);
        tell_connected(connection_.get(), *events_);
        return {};
    }

    WireStatus publish(const Outgoing& message) override {
        // nats.c would keep it for the next one.
        if (!socket_ || !socket_->connected()) return status_of(NATS_CONNECTION_DISCONNECTED);
        natsMsg* raw = nullptr;
        const char* const reply = *message.reply == '\0' ? nullptr : message.reply;
        const auto size = static_cast<int>(message.payload.size());
        if (message.headers.empty()) {
            return status_of(
                reply == nullptr
                    ? natsConnection_Publish(
                          connection_.get(), message.subject, message.payload.data(), size
                      )
                    : natsConnection_PublishRequest(
                          connection_.get(), message.subject, reply, message.payload.data(), size
                      )
            );
        }
        auto status = natsMsg_Create(&raw, message.subject, reply, message.payload.data(), size);
        if (status != NATS_OK) return status_of(status);
        MessagePtr made{raw};
        for (const auto& [key, value] : message.headers) {
            status = natsMsgHeader_Add(raw, std::string{key}.c_str(), std::string{value}.c_str());
            if (status != NATS_OK) return status_of(status);
        }
        status = natsConnection_PublishMsg(connection_.get(), raw);
        put_away(std::move(made));
        return status_of(status);
    }

    WireStatus subscribe(std::uint64_t id, const Topic& topic) override {
        Route route{events_, id};
        auto* const to = connection_.get();
        if (topic.without_statuses) {
            ServedSubscription served{std::move(route)};
            auto status = served.open(to, topic);
            if (status == NATS_OK) status = unlimited(served.made());
            if (status == NATS_OK) served_.emplace(id, std::move(served));
            return status_of(status);
        }
        SubscriptionPtr made;
        auto status =
            subscribe_by_thread(to, topic, std::make_unique<Route>(std::move(route)), made);
        if (status == NATS_OK) status = unlimited(made.get());
        if (status == NATS_OK) threaded_.emplace(id, std::move(made));
        return status_of(status);
    }

    void unsubscribe(std::uint64_t id) override {
        threaded_.erase(id);
        served_.erase(id);
    }

    void drain(std::uint64_t id) override {
        const auto timeout = options_.write_timeout;
        if (const auto served = served_.find(id); served != served_.end()) {
            if (served->second.drain(timeout)) return;
        } else if (const auto threaded = threaded_.find(id); threaded != threaded_.end()) {
            if (natsSubscription_DrainTimeout(threaded->second.get(), timeout) == NATS_OK) return;
        }
        events_->on_drained(id);
    }

    void flush() override {
        if (!socket_) return;
        socket_->write_all(
            ServedSocket::Clock::now() + std::chrono::milliseconds{options_.write_timeout}
        );
        look_at_drained();
    }

    void wait(int wake) override {
        while (!socket_->wait(wake, look_at_drained() ? between_looks : std::chrono::hours{1})) {
        }
    }

    void close() override { drop(); }

private:
    // While something is drained: nats.c says nothing when it is over.
    static constexpr std::chrono::milliseconds between_looks{5};

    void hand_on() {
        for (auto& [id, each] : served_) each.hand_on();
    }

    /// Whether there is something left to look at.
    bool look_at_drained() {
        bool left = false;
        for (auto& [id, each] : served_) {
            each.look_whether_drained();
            left = left || each.draining();
        }
        return left;
    }

    natsStatus attempt(bool tls) {
        drop();
        natsOptions* raw = nullptr;
        if (const auto status = natsOptions_Create(&raw); status != NATS_OK) return status;
        const OptionsPtr made{raw};
        auto socket = std::make_shared<ServedSocket>([this] { hand_on(); });
        if (socket->none()) return NATS_SYS_ERROR;
        auto listener = std::make_unique<Listener>();
        listener->events = events_;
        listener->least_pause = options_.least_pause;
        listener->most_pause = options_.most_pause;
        Setting setting;
        setting << natsOptions_SetURL(raw, options_.server.c_str())
                << natsOptions_SetName(raw, options_.name.c_str())
                << set_identity(raw, options_, *listener) << set_pace(raw, options_, *listener)
                << set_callbacks(raw, *listener) << socket->serves(raw);
        if (tls) setting << set_tls(raw, options_);
        if (setting.status() != NATS_OK) return setting.status();
        natsConnection* connection = nullptr;
        const auto status = natsConnection_Connect(&connection, raw);
        if (status != NATS_OK) return status;
        connection_.reset(connection);
        socket_ = std::move(socket);
        wanted_ = listener->wanted;
        (void)listener.release();  // until it is closed
        return NATS_OK;
    }

    void drop() {
        if (!connection_) return;
        *wanted_ = false;
        natsConnection_Close(connection_.get());
        threaded_.clear();
        served_.clear();
        connection_.reset();
        socket_.reset();
    }

    const WireOptions options_;
    const std::shared_ptr<WireEvents> events_;
    ConnectionPtr connection_;
    std::shared_ptr<ServedSocket> socket_;       // of that connection
    std::shared_ptr<std::atomic<bool>> wanted_;  // of that connection: nobody has closed it
    std::unordered_map<std::uint64_t, SubscriptionPtr> threaded_;
    std::unordered_map<std::uint64_t, ServedSubscription> served_;
};

}  // namespace
}  // namespace stator::nats

// As C has no references, and the loader no types.
extern "C" {

__attribute__((visibility("default"))) int stator_nats_module_version() {
    return stator::nats::module_version;
}

__attribute__((visibility("default"))) stator::nats::Wire* stator_nats_make(
    const stator::nats::WireOptions* options,
    const std::shared_ptr<stator::nats::WireEvents>* events
) {
    return new stator::nats::NatsWire{*options, *events};
}

}  // extern "C"
