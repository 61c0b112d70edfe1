#include "worker/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "stator/base/sink.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline worker {

using namespace std::chrono_literals;

namespace {

constexpr Duration readiness_look = 50ms;

template <class Number>
std::optional<Number> number_in(const char* variable) {
    const auto* text = std::getenv(variable);
    if (text == nullptr) return std::nullopt;
    Number number{};
    const auto* end = text + std::strlen(text);
    const auto parsed = std::from_chars(text, end, number);
    if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
    return number;
}

}  // namespace

std::optional<ServiceManager> ServiceManager::from_environment() {
    const auto* socket = std::getenv("NOTIFY_SOCKET");
    if (socket == nullptr || (socket[0] != '/' && socket[0] != '@')) return std::nullopt;
    // The interval may be meant for another process of the service.
    const auto pid = number_in<pid_t>("WATCHDOG_PID");
    const auto micros = number_in<std::int64_t>("WATCHDOG_USEC");
    const bool for_us = micros.value_or(0) > 0 && pid.value_or(::getpid()) == ::getpid();
    return ServiceManager{
        socket, for_us ? Duration{std::chrono::microseconds{*micros}} : Duration::zero()
    };
}

bool ServiceManager::tell(std::string_view state) const noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_.size() >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, socket_.data(), socket_.size());
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return false;
    const auto size = offsetof(sockaddr_un, sun_path) + socket_.size();
    const auto sent = ::sendto(
        descriptor,
        state.data(),
        state.size(),
        MSG_NOSIGNAL,
        reinterpret_cast<const sockaddr*>(&address),
        static_cast<socklen_t>(size)
    );
    ::close(descriptor);
    return sent == static_cast<ssize_t>(state.size());
}

Task<> ServiceManager::accompany(Signs signs) const {
    return [](ServiceManager manager, Signs of) -> Task<> {
        bool told = false;
        auto next_sign = Loop::current()->now();
        for (;;) {
            if (!told && of.ready()) {
                told = true;
                if (!manager.tell("READY=1"))
                    sink().report(
                        Severity::warn, "stator::worker", "the service manager cannot be told"
                    );
            }
            const auto now = Loop::current()->now();
            const auto interval = manager.watchdog() / 2;
            if (interval > Duration::zero() && now >= next_sign) {
                next_sign = now + interval;
                if (of.live()) (void)manager.tell("WATCHDOG=1");
            }
            if (told && interval == Duration::zero()) co_return;
            const auto look = now + readiness_look;
            if (told) {
                co_await sleep_until(Deadline::at(next_sign));
            } else {
                const bool sign_first = interval > Duration::zero() && next_sign < look;
                co_await sleep_until(Deadline::at(sign_first ? next_sign : look));
            }
        }
    }(*this, std::move(signs));
}

}  // namespace stator::inline worker
