#include "stator/base/sink.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>

#include <fmt/format.h>

namespace stator::inline base {

namespace {

// What is used before observe installs the real one, and by programs that never do.
class StderrSink final : public Sink {
public:
    void report(
        Severity severity, std::string_view target, std::string_view message, std::source_location
    ) noexcept override {
        if (severity < Severity::warn) return;
        std::array<char, 1024> line;
        const auto* word = severity == Severity::warn ? "warning" : "error";
        const auto room = line.size() - 1;
        const auto made = fmt::format_to_n(line.data(), room, "{} {}: {}", word, target, message);
        auto size = std::min(made.size, room);
        line[size++] = '\n';
        // One write, so that lines of several threads do not mix.
        while (::write(STDERR_FILENO, line.data(), size) < 0 && errno == EINTR) {
        }
    }
    void count(std::string_view, std::uint64_t) noexcept override {}
    void gauge(std::string_view, double) noexcept override {}
};

union Immortal {
    constexpr Immortal() : sink{} {}
    constexpr ~Immortal() {}
    StderrSink sink;
};
constinit Immortal stderr_sink;

constinit std::atomic<Sink*> current_sink{nullptr};

}  // namespace

Sink& sink() noexcept {
    auto* installed = current_sink.load(std::memory_order_acquire);
    return installed != nullptr ? *installed : stderr_sink.sink;
}

void set_sink(Sink* replacement) noexcept {
    current_sink.store(replacement, std::memory_order_release);
}

}  // namespace stator::inline base
