// A stator server inside a program of callbacks with a polling loop, such as a game or a
// simulation: everything of stator's runs inside `io.poll()`, on the program's one thread.
#include <chrono>
#include <csignal>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>

using namespace stator;
using namespace std::chrono_literals;

namespace {

volatile std::sig_atomic_t asked_to_end = 0;

/// The program's state: no lock, since handlers and steps take turns.
long steps = 0;

Task<std::string> tell(Context, std::string question) {
    co_return fmt::format(
        "{}: step {}", question, steps > 0 ? "after the first" : "before the first"
    );
}

Task<> serve(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    co_await cluster.endpoint("demo.polling.tell").serve(tell);
}

/// One round of the program's own loop.
void step(boost::asio::io_context& io) {
    ++steps;
    io.poll();
    std::this_thread::sleep_for(1ms);
}

}  // namespace

int main() {
    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { asked_to_end = 1; });
    boost::asio::io_context io;
    // Leases and watches keep a thread of their own, so a step that takes long costs no lease; with
    // `.share_secondary = true` they would live in `poll`, too.
    auto runtime = Runtime::from_handle(io);
    auto served = runtime.spawn_future(serve(runtime));
    while (asked_to_end == 0 && served.wait_for(0s) != std::future_status::ready) step(io);

    // Asking for the end must not block the loop that is needed for it.
    auto ended = runtime.shutdown_async(Deadline::in(10s));
    while (ended.wait_for(0s) != std::future_status::ready) step(io);
    fmt::print("ended after {} steps\n", steps > 1 ? "many" : "no");
    return ended.get() ? 0 : 1;
}
