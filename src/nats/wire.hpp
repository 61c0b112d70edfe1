// Wire: one connection to a NATS server, without the words of nats.c.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

// What is implemented here lives in a module of its own, which is loaded when somebody first needs
// NATS: programs that do not are spared its start. So nothing below may need a symbol of stator.

namespace stator::nats {

enum class WireError : std::uint8_t {
    none,
    authentication,  ///< the server does not know us, or not let us
    tls,             ///< its certificate, or ours, is refused
    unreachable,     ///< nobody there, or the connection is gone
    too_large,
    invalid,  ///< what was asked for, or an option
    other,
};

struct WireStatus {
    WireError error = WireError::none;
    std::string message{};
    bool ok() const noexcept { return error == WireError::none; }
};

struct HeaderView {
    std::string_view key;
    std::string_view value;
};

/// Views are good for the time of the call.
struct Incoming {
    std::string_view subject;
    std::string_view reply;
    std::string_view payload;
    std::span<const HeaderView> headers;
    int status = 0;
};

/// `subject` and `reply` end with a zero; an empty reply is none.
struct Outgoing {
    const char* subject = "";
    const char* reply = "";
    std::string_view payload{};
    std::span<const HeaderView> headers{};
};

/// What is subscribed to.
struct Topic {
    std::string pattern{};
    std::string queue{};
    bool without_statuses = false;  ///< messages without a payload and with status 503 may be lost
};

/// Called on any thread, which waits meanwhile: to be left at once. Kept by the wire until no
/// call can come any more.
class WireEvents {
public:
    virtual ~WireEvents() = default;
    virtual void on_message(std::uint64_t subscription, const Incoming& message) noexcept = 0;
    /// The first one, and each time that one was lost and made anew.
    virtual void on_connected(std::size_t max_payload, std::string server) noexcept = 0;
    /// It connects again by itself.
    virtual void on_disconnected(std::string why) noexcept = 0;
    /// It does not any more, since it was refused: whoever wants it has to `connect` and subscribe
    /// again. Not told of a `close`.
    virtual void on_given_up() noexcept = 0;
    /// No message of that subscription comes any more.
    virtual void on_drained(std::uint64_t subscription) noexcept = 0;
    /// It goes on in spite of it.
    virtual void on_problem(std::string what) noexcept = 0;
};

/// Everything may block, and is called by one thread. What comes in is only told of while that
/// thread is in `flush` or `wait`.
class Wire {
public:
    Wire() = default;
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;
    virtual ~Wire() = default;

    /// One attempt; may be repeated until it succeeds. From there on the wire connects by itself
    /// whenever the connection is lost, and the server is told again of what was subscribed.
    virtual WireStatus connect() = 0;
    virtual WireStatus publish(const Outgoing& message) = 0;
    /// `id` is the caller's choice. Messages come until `unsubscribe`, one more may after it.
    virtual WireStatus subscribe(std::uint64_t id, const Topic& topic) = 0;
    virtual void unsubscribe(std::uint64_t id) = 0;
    /// What the server has sent already still comes, then `on_drained`; `unsubscribe` is needed
    /// all the same.
    virtual void drain(std::uint64_t id) = 0;
    /// Writes what the calls before have left, serving the connection meanwhile. Given up, and the
    /// connection with it, when the server has taken nothing more for as long as writing may take.
    virtual void flush() = 0;
    /// Serves the connection until the descriptor `wake` can be read.
    virtual void wait(int wake) = 0;
    /// For good.
    virtual void close() = 0;
};

/// What a connection needs to know; durations in milliseconds.
struct WireOptions {
    std::string server{};
    std::string name{};
    std::string username{};
    std::string password{};
    std::string token{};
    std::string nkey{};
    std::string credentials_file{};
    bool tls = false;
    std::string ca_file{};
    std::string client_cert_file{};
    std::string client_key_file{};
    bool tls_insecure = false;
    std::int64_t connect_timeout = 2000;
    std::int64_t write_timeout = 2000;
    std::int64_t ping_interval = 5000;
    std::int64_t least_pause = 20;  ///< between attempts to connect again
    std::int64_t most_pause = 2000;
};

/// Of the module: `stator_nats_module_version` must return `module_version`, before anything else.
inline constexpr int module_version = 3;
using ModuleVersion = int (*)();
/// Never null, never fails.
using ModuleMake = Wire* (*)(const WireOptions*, const std::shared_ptr<WireEvents>*);

}  // namespace stator::nats
