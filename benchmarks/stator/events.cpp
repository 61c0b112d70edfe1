// How long an event takes from one process to another: ours, ZeroMQ alone, NATS alone.
//
//     stator_bench_events --by stator|zmq|nats --seconds S --warmup W
//
// Starts a publisher of its own (this program with `publish`), which sends an event of 64 bytes
// each 200 us with the moment of its sending. `stator` needs an empty DYN_FILE_KV, `nats`
// NATS_SERVER.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>

#include "stator/base/latency_histogram.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/worker/worker.hpp"

namespace {

using namespace std::chrono_literals;
using stator::Bytes;
using stator::DistributedRuntime;
using stator::Runtime;
using stator::Task;
using Clock = std::chrono::steady_clock;

constexpr auto pause = 200us;
constexpr std::size_t event_size = 64;
const stator::events::EventScope scope{"bench", "events", {}};
constexpr auto topic = "t";
constexpr auto subject = "bench.events.t";

using Event = std::array<char, event_size>;

Event event_now() {
    Event event{};
    const auto now = Clock::now().time_since_epoch().count();
    std::memcpy(event.data(), &now, sizeof(now));
    return event;
}

Bytes bytes_now() {
    const auto event = event_now();
    return Bytes::copy_of(std::string_view{event.data(), event.size()});
}

/// Latencies of the measured window, from the first event that arrives.
class Window {
public:
    Window(double seconds, double warmup) : seconds_{seconds}, warmup_{warmup} {}

    /// False once it is over.
    bool take(std::string_view event) {
        const auto now = Clock::now();
        if (first_ == Clock::time_point{}) first_ = now;
        const std::chrono::duration<double> since = now - first_;
        if (since.count() < warmup_) return true;
        if (since.count() > warmup_ + seconds_ || event.size() != event_size) return false;
        Clock::rep sent = 0;
        std::memcpy(&sent, event.data(), sizeof(sent));
        latencies_.record(now.time_since_epoch() - Clock::duration{sent});
        return true;
    }
    void print() const {
        std::printf(
            "{\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
            latencies_.percentile_us(0.5).value_or(0),
            latencies_.percentile_us(0.99).value_or(0)
        );
    }

private:
    const double seconds_;
    const double warmup_;
    Clock::time_point first_{};
    stator::LatencyHistogram latencies_;
};

/// The publisher; killed by its pid when it goes out of scope, and when we die.
class Child {
public:
    explicit Child(const char* by) {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0) std::abort();
        const auto parent = ::getpid();
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() != parent) ::_exit(1);
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, nullptr);
            ::dup2(ends[1], 1);
            ::close(ends[0]);
            ::execl("/proc/self/exe", "stator_bench_events", "publish", by, nullptr);
            ::_exit(127);
        }
        ::close(ends[1]);
        output_ = ::fdopen(ends[0], "r");
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        std::fclose(output_);
    }
    std::string line() {
        std::array<char, 256> text{};
        if (std::fgets(text.data(), text.size(), output_) == nullptr) return {};
        std::string said{text.data()};
        if (said.ends_with('\n')) said.pop_back();
        return said;
    }

private:
    pid_t pid_ = 0;
    FILE* output_ = nullptr;
};

// ---- ours

Task<> publish_ours(Runtime runtime) {
    const auto cluster = co_await DistributedRuntime::connect(runtime);
    const auto bus = co_await cluster.event_bus();
    const auto publisher = co_await bus->publisher(scope, topic);
    for (;;) {
        co_await publisher.publish(bytes_now());
        co_await stator::sleep_for(pause);
    }
}

Task<> subscribe_ours(Runtime runtime, Window* window) {
    const auto cluster = co_await DistributedRuntime::connect(runtime);
    const auto bus = co_await cluster.event_bus();
    const auto subscriber = co_await bus->subscribe({.scope = scope, .topic = topic});
    const Child publisher{"stator"};
    while (const auto event = co_await subscriber.next()) {
        if (!window->take(event->payload.view())) break;
    }
}

// ---- NATS alone

Task<stator::nats::Client> connect_nats(Runtime runtime) {
    auto options = stator::nats::ClientOptions{.server = std::getenv("NATS_SERVER")};
    co_return co_await stator::nats::Client::connect(
        runtime.secondary().loop(0), std::move(options)
    );
}

Task<> publish_nats(Runtime runtime) {
    const auto client = co_await connect_nats(runtime);
    for (;;) {
        (void
        )client.publish({.subject = subject, .payload = bytes_now(), .headers = {}, .reply = {}});
        co_await stator::sleep_for(pause);
    }
}

Task<> subscribe_nats(Runtime runtime, Window* window) {
    const auto client = co_await connect_nats(runtime);
    stator::nats::SubscribeOptions options;
    options.subjects = {subject};
    const auto subscription = co_await client.subscribe(std::move(options));
    const Child publisher{"nats"};
    while (const auto message = co_await subscription.next()) {
        if (!window->take(message->payload.view())) break;
    }
    co_await client.close(stator::Deadline::in(1s));
}

// ---- ZeroMQ alone

int publish_zmq() {
    void* const context = zmq_ctx_new();
    void* const socket = zmq_socket(context, ZMQ_PUB);
    std::array<char, 128> endpoint{};
    std::size_t size = endpoint.size();
    if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint.data(), &size) != 0)
        return 1;
    std::printf("%s\n", endpoint.data());
    std::fflush(stdout);
    for (;;) {
        const auto event = event_now();
        zmq_send(socket, topic, 1, ZMQ_SNDMORE);
        zmq_send(socket, event.data(), event.size(), 0);
        const timespec rest{0, std::chrono::nanoseconds{pause}.count()};
        ::nanosleep(&rest, nullptr);
    }
}

void subscribe_zmq(Window& window) {
    Child publisher{"zmq"};
    void* const context = zmq_ctx_new();
    void* const socket = zmq_socket(context, ZMQ_SUB);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic, 1);
    zmq_connect(socket, publisher.line().c_str());
    std::array<char, 256> part{};
    for (bool going = true; going;) {
        zmq_recv(socket, part.data(), part.size(), 0);
        const auto size = zmq_recv(socket, part.data(), part.size(), 0);
        going = size >= 0 && window.take({part.data(), static_cast<std::size_t>(size)});
    }
    zmq_close(socket);
    zmq_ctx_term(context);
}

// ----

int publish(std::string_view by) {
    if (by == "zmq") return publish_zmq();
    return stator::Worker::from_settings().execute(by == "nats" ? publish_nats : publish_ours);
}

std::string option(int argc, char** argv, std::string_view name, std::string fallback) {
    for (int i = 1; i + 1 < argc; ++i) {
        if (argv[i] == name) return argv[i + 1];
    }
    return fallback;
}

}  // namespace

int main(int argc, char** argv) {
    setenv("DYN_RUNTIME_NUM_WORKER_THREADS", "1", 1);
    if (argc > 2 && std::strcmp(argv[1], "publish") == 0) return publish(argv[2]);
    const auto by = option(argc, argv, "--by", "stator");
    Window window{
        std::stod(option(argc, argv, "--seconds", "2")),
        std::stod(option(argc, argv, "--warmup", "0.4"))
    };
    int status = 0;
    if (by == "zmq") {
        subscribe_zmq(window);
    } else {
        const auto subscribe = by == "nats" ? subscribe_nats : subscribe_ours;
        status = stator::Worker::from_settings().execute([&](Runtime runtime) {
            return subscribe(std::move(runtime), &window);
        });
    }
    window.print();
    return status;
}
