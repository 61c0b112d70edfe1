// A stator server inside an application that has a multi-threaded io_context of its own: the
// handlers run on the application's threads, beside its own timers and sockets.
#include <chrono>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>

using namespace stator;
using namespace std::chrono_literals;
namespace asio = boost::asio;

Stream<std::string> spell_out(Context request, std::string text) {
    for (char letter : text) {
        if (request.stopped()) co_return;
        co_yield std::string{letter};
    }
}

Task<> serve(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    co_await cluster.endpoint("demo.embedded.generate").serve(spell_out);
}

/// What the application does anyway.
class Heartbeat {
public:
    explicit Heartbeat(asio::io_context& io) : timer_{io} { beat(); }
    int beats() const { return beats_; }

private:
    void beat() {
        timer_.expires_after(10ms);
        timer_.async_wait([this](const boost::system::error_code& stopped) {
            if (stopped) return;
            ++beats_;
            beat();
        });
    }
    asio::steady_timer timer_;
    std::atomic<int> beats_{0};
};

int main() {
    asio::io_context io;
    Heartbeat heartbeat{io};
    asio::signal_set signals{io, SIGINT, SIGTERM};

    // The io_context stays the application's: stator never runs it, never stops it. Four loops on
    // it, so that up to four handlers run at once.
    auto runtime = Runtime::from_handle(io, {.loops = 4});
    auto served = runtime.spawn_future(serve(runtime));
    signals.async_wait([runtime](const boost::system::error_code&, int) { runtime.shutdown(); });

    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&io] { io.run(); });

    int status = 0;
    try {
        served.get();  // until a signal; running requests are finished first
    } catch (const Error& error) {
        fmt::print(stderr, "{}\n", error.what());
        status = 1;
    }
    // Before the executor goes.
    if (!runtime.shutdown_and_wait()) status = 1;

    fmt::print("the application goes on: {} beats\n", heartbeat.beats());
    io.stop();
    for (auto& thread : threads) thread.join();
    return status;
}
