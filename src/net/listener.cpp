#include "stator/net/listener.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <fmt/format.h>

#include "net/endpoints.hpp"
#include "stator/base/backoff.hpp"
#include "stator/base/report_limit.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/asio.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::net {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using ErrorCodeOf = boost::system::error_code;
using namespace std::chrono_literals;

namespace {

constexpr int backlog = 4096;

bool is_shortage(int code) noexcept {
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

/// What became of the newest connection while there are no descriptors.
enum class Refusal : std::uint8_t { refused, nobody, no_reserve };

int open_reserve() noexcept { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

struct Listener::State {
    State() : acceptor{reactor_of(*Loop::current())} {}
    ~State() {
        if (reserve >= 0) ::close(reserve);
    }

    /// Out of descriptors: gives up the reserve for a moment, takes the newest connection and
    /// closes it, so that the peer learns it at once instead of waiting in the backlog.
    Refusal refuse_one() noexcept {
        if (reserve < 0) reserve = open_reserve();
        if (reserve < 0) return Refusal::no_reserve;
        ::close(reserve);
        const int refused =
            ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        const bool nobody = refused < 0 && errno == EAGAIN;
        if (refused >= 0) ::close(refused);
        reserve = open_reserve();
        if (refused >= 0) return Refusal::refused;
        return nobody ? Refusal::nobody : Refusal::no_reserve;
    }

    /// False once the listener is closed. Cancel safety: throws `cancelled`.
    Task<bool> somebody_waits() {
        const auto waited = co_await acceptor.async_wait(tcp::acceptor::wait_read, use_task);
        if (waited == asio::error::operation_aborted && acceptor.is_open())
            throw Error{ErrorCode::cancelled, "cancelled while waiting for a connection"};
        co_return !waited;
    }

    /// Waits until accepting may be worth another try. False once the listener is closed.
    Task<bool> shortage_over(int code) {
        switch (refuse_one()) {
            case Refusal::refused:
                report_shortage(code);
                co_await yield();
                co_return true;
            case Refusal::nobody:
                co_return co_await somebody_waits();
            case Refusal::no_reserve:
                report_shortage(code);
                co_await sleep_for(backoff.next());
                co_return true;
        }
        std::unreachable();
    }

    void report_shortage(int code) {
        sink().count("net_accept_shortage_total", 1);
        const auto held_back = shortages.admit(Clock::current().now());
        if (!held_back) return;
        sink().report(
            Severity::warn,
            "stator::net",
            fmt::format(
                "{}: cannot accept: {}; new connections are refused until descriptors are free{}",
                address.to_string(),
                ErrorCodeOf{code, boost::system::system_category()}.message(),
                and_unreported(*held_back)
            )
        );
    }

    tcp::acceptor acceptor;
    Address address;
    int reserve = open_reserve();
    ReportLimit shortages{10s};
    Backoff backoff{BackoffPolicy{.initial = 5ms, .max = 1s}};
};

Listener::Listener(std::unique_ptr<State> state) noexcept : state_{std::move(state)} {}
Listener::~Listener() = default;

Task<std::unique_ptr<Listener>> Listener::bind(Address address) {
    return bind(std::move(address), false);
}

Task<std::unique_ptr<Listener>> Listener::bind_resetting(Address address) {
    return bind(std::move(address), true);
}

Task<std::unique_ptr<Listener>> Listener::bind(Address address, bool resetting) {
    auto state = std::make_unique<State>();
    const auto failed = [&address](ErrorCode kind, const ErrorCodeOf& code) {
        return Error{
            kind,
            "net.cannot_bind",
            fmt::format("cannot listen on {}: {}", address.to_string(), code.message())
        };
    };
    tcp::resolver resolver{reactor_of(*Loop::current())};
    auto [code, found] = co_await resolver.async_resolve(
        address.host,
        std::to_string(address.port),
        tcp::resolver::passive | tcp::resolver::numeric_service,
        use_task
    );
    if (code == asio::error::operation_aborted)
        throw Error{ErrorCode::cancelled, "cancelled while resolving"};
    if (code || found.empty()) throw failed(ErrorCode::invalid_request, code);
    const tcp::endpoint endpoint = found.begin()->endpoint();
    ErrorCodeOf bound;
    state->acceptor.open(endpoint.protocol(), bound);
    if (!bound) state->acceptor.set_option(tcp::acceptor::reuse_address{true}, bound);
    // What is accepted inherits these.
    if (!bound) state->acceptor.set_option(tcp::no_delay{true}, bound);
    if (!bound && resetting) state->acceptor.set_option(tcp::acceptor::linger{true, 0}, bound);
    if (!bound) state->acceptor.bind(endpoint, bound);
    if (!bound) state->acceptor.listen(backlog, bound);
    if (!bound) state->acceptor.non_blocking(true, bound);
    if (bound == asio::error::address_in_use) throw failed(ErrorCode::already_exists, bound);
    if (bound) throw failed(ErrorCode::invalid_request, bound);
    state->address = to_address(state->acceptor.local_endpoint());
    co_return std::unique_ptr<Listener>{new Listener{std::move(state)}};
}

const Address& Listener::address() const noexcept { return state_->address; }

Task<std::optional<Accepted>> Listener::accept() {
    for (;;) {
        if (!state_->acceptor.is_open()) co_return std::nullopt;
        tcp::endpoint remote;
        auto size = static_cast<socklen_t>(remote.capacity());
        const int descriptor = ::accept4(
            state_->acceptor.native_handle(), remote.data(), &size, SOCK_CLOEXEC | SOCK_NONBLOCK
        );
        if (descriptor >= 0) {
            state_->backoff.reset();
            remote.resize(size);
            co_return Accepted{descriptor, to_address(remote)};
        }
        const int code = errno;
        if (is_shortage(code)) {
            if (!co_await state_->shortage_over(code)) co_return std::nullopt;
            continue;
        }
        // Everything else concerns one connection that is gone already (ECONNABORTED, EPROTO, ...).
        if (code != EAGAIN && code != EWOULDBLOCK) continue;
        if (!co_await state_->somebody_waits()) co_return std::nullopt;
    }
}

void Listener::close() noexcept {
    ErrorCodeOf ignored;
    state_->acceptor.close(ignored);
}

Task<std::string> resolve(std::string host) {
    if (Address{host, 0}.is_numeric()) co_return host;
    tcp::resolver resolver{reactor_of(*Loop::current())};
    auto [code, found] = co_await resolver.async_resolve(host, "", use_task);
    if (code == asio::error::operation_aborted)
        throw Error{ErrorCode::cancelled, "cancelled while resolving"};
    if (code || found.empty()) {
        throw Error{
            ErrorCode::unavailable,
            "net.cannot_resolve",
            fmt::format("cannot resolve {}: {}", host, code.message())
        };
    }
    co_return found.begin()->endpoint().address().to_string();
}

Result<std::string> local_address_towards(const Address& remote) {
    // Connecting a datagram socket only looks up the route.
    asio::io_context context;
    ErrorCodeOf code;
    asio::ip::udp::resolver resolver{context};
    const auto found = resolver.resolve(remote.host, std::to_string(remote.port), code);
    if (!code && !found.empty()) {
        asio::ip::udp::socket probe{context};
        probe.connect(found.begin()->endpoint(), code);
        if (!code) {
            const auto local = probe.local_endpoint(code);
            if (!code) return local.address().to_string();
        }
    }
    return fail(
        ErrorCode::unavailable,
        "net.no_route",
        fmt::format("no local address reaches {}: {}", remote.to_string(), code.message())
    );
}

}  // namespace stator::net
