// How fast a worker comes into routing and leaves it: registration until routed, and kill -9 until
// no longer routed. Starts workers of its own (this program with the argument `worker`); needs an
// empty DYN_FILE_KV.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/worker/worker.hpp"

namespace {

using namespace std::chrono_literals;
using stator::Context;
using stator::Deadline;
using stator::DistributedRuntime;
using stator::Router;
using stator::Runtime;
using stator::Task;
using Clock = std::chrono::steady_clock;

constexpr auto path = "bench.discovery.echo";
constexpr int rounds = 7;
constexpr int callers = 8;

Task<std::string> slow_echo(Context, std::string body) {
    co_await stator::sleep_for(2ms);
    co_return body;
}

/// Prints the moment just before it publishes, in nanoseconds of the monotonic clock, which all
/// processes share.
Task<> worker(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    // The listener is up before the clock starts: what is measured is discovery.
    const auto warm = co_await cluster.endpoint("bench.discovery.other").start(slow_echo);
    std::printf("%lld\n", static_cast<long long>(Clock::now().time_since_epoch().count()));
    std::fflush(stdout);
    co_await cluster.endpoint(path).serve(slow_echo);
    co_await stator::shielded(warm.shutdown(runtime.shutdown_deadline()));
}

/// A worker process; killed by its pid when it goes out of scope.
class Child {
public:
    explicit Child(const char* program) {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0) std::abort();
        pid_ = ::fork();
        if (pid_ == 0) {
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, nullptr);
            ::dup2(ends[1], 1);
            ::close(ends[0]);
            ::execl("/proc/self/exe", program, "worker", nullptr);
            ::_exit(127);
        }
        ::close(ends[1]);
        output_ = ::fdopen(ends[0], "r");
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        kill();
        std::fclose(output_);
    }
    Clock::time_point published() {
        long long when = 0;
        if (std::fscanf(output_, "%lld", &when) != 1)
            std::fprintf(stderr, "the worker said nothing\n");
        return Clock::time_point{Clock::duration{when}};
    }
    void kill() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }

private:
    pid_t pid_ = 0;
    FILE* output_ = nullptr;
};

Task<Clock::time_point> wait_for_count(stator::Client client, std::size_t count) {
    while (client.instances()->routable.size() != count) co_await stator::sleep_for(20us);
    co_return Clock::now();
}

struct Traffic {
    bool stop = false;
    std::array<int, callers> failures{};
};

Task<> keep_calling(Router<std::string, std::string> router, Traffic* traffic, int caller) {
    while (!traffic->stop) {
        if (!co_await stator::as_result(router.ask("x")))
            ++traffic->failures[static_cast<std::size_t>(caller)];
    }
}

double median(std::vector<double> values) {
    std::ranges::nth_element(
        values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2)
    );
    return values[values.size() / 2];
}

double milliseconds(Clock::duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
}

Task<> measure(Runtime runtime, const char* program) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    auto client = co_await cluster.endpoint(path).client();
    const Router<std::string, std::string> router{client};
    std::vector<double> routed;
    std::vector<double> unrouted;
    int worst = 0;
    Child stays{program};
    co_await wait_for_count(client, 1);
    for (int round = 0; round < rounds; ++round) {
        Child goes{program};
        const auto seen = co_await wait_for_count(client, 2);
        routed.push_back(milliseconds(seen - goes.published()));
        Traffic traffic;
        stator::TaskScope scope{co_await stator::current_token()};
        for (int i = 0; i < callers; ++i) scope.spawn(keep_calling(router, &traffic, i));
        co_await stator::sleep_for(100ms);
        const auto killed = Clock::now();
        goes.kill();
        unrouted.push_back(milliseconds(co_await wait_for_count(client, 1) - killed));
        co_await stator::sleep_for(100ms);
        traffic.stop = true;
        co_await scope.join();
        worst = std::max(worst, *std::ranges::max_element(traffic.failures));
    }
    std::printf(
        "{\"peer\":\"stator\",\"registration_to_routed_ms\":%.3f,\"kill_to_unrouted_ms\":%.3f,"
        "\"failures_per_call\":%d}\n",
        median(routed),
        median(unrouted),
        worst
    );
}

}  // namespace

int main(int argc, char** argv) {
    setenv("DYN_RUNTIME_NUM_WORKER_THREADS", "1", 1);
    if (argc > 1 && std::strcmp(argv[1], "worker") == 0)
        return stator::Worker::from_settings().execute(worker);
    return stator::Worker::from_settings().execute([argv](Runtime runtime) {
        return measure(std::move(runtime), argv[0]);
    });
}
