// Streams that outlive their workers (migration_test.py):
//   migrating serve ENDPOINT FIRST RELEASE   counts; after FIRST items waits for the file RELEASE
//   migrating ask ENDPOINT COUNT LAST LIMIT  COUNT streams of LAST numbers each, which may move
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/pipeline/link.hpp"
#include "stator/pipeline/migrate.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/worker/worker.hpp"

using namespace stator;
using namespace std::chrono_literals;

namespace {

/// The numbers from the first to before the second.
using Range = std::vector<int>;

struct Work {
    std::string endpoint;
    int first = 0;
    std::filesystem::path release;
    int count = 0;
    int last = 0;
    int limit = 0;
};

// ---- serve

// It cannot stop in the middle: asked to, it goes on until it is killed.
Stream<int> numbers(Range range, int first, std::filesystem::path release) {
    for (int i = range.at(0); i < range.at(1); ++i) {
        while (i >= first && !std::filesystem::exists(release)) co_await sleep_for(5ms);
        co_yield int{i};
    }
}

Task<> serve(Runtime runtime, Work work) {
    const auto cluster = co_await DistributedRuntime::connect(std::move(runtime));
    const auto served =
        co_await cluster.endpoint(work.endpoint).start([work](Context, Range range) {
            return numbers(std::move(range), work.first, work.release);
        });
    std::fputs("ready\n", stderr);
    co_await served.run();
}

// ---- ask

struct Seen {
    int begun = 0;
    int whole = 0;
    int wrong = 0;
    std::map<std::string, int> failed{};
};

void say(const std::string& line) {
    std::fputs((line + "\n").c_str(), stdout);
    std::fflush(stdout);
}

Task<> read(Stream<int> items, const Work* work, Seen* seen) {
    int next = 0;
    try {
        while (auto item = co_await items.next()) {
            if (*item != next) ++seen->wrong;
            ++next;
            // All of them wait for their release.
            if (next == work->first && ++seen->begun == work->count) say("begun");
        }
        ++(next == work->last ? seen->whole : seen->wrong);
    } catch (const Error& error) {
        ++seen->failed[std::string{to_string(error.code())}];
    }
}

Task<> ask(Runtime runtime, Work work) {
    const auto cluster = co_await DistributedRuntime::connect(std::move(runtime));
    const auto client = co_await cluster.endpoint(work.endpoint).client();
    co_await client.wait_for_instances(Deadline::in(20s));
    const auto rest = [](const Range& all, std::span<const int> had) {
        return Range{all.at(0) + static_cast<int>(had.size()), all.at(1)};
    };
    const auto service = frontend<Range, int>()
                             .link(migrate({.limit = work.limit}, rest))
                             .link(route_to(Router<Range, int>{client}));
    Seen seen;
    {
        TaskScope scope;
        for (int i = 0; i < work.count; ++i)
            scope.spawn(read(service.generate({}, Range{0, work.last}), &work, &seen));
        co_await scope.join();
    }
    std::string failed;
    for (const auto& [code, count] : seen.failed)
        failed += fmt::format("{}\"{}\":{}", failed.empty() ? "" : ",", code, count);
    say(fmt::format(R"({{"whole":{},"wrong":{},"failed":{{{}}}}})", seen.whole, seen.wrong, failed)
    );
}

}  // namespace

int main(int count, char** arguments) {
    Work work;
    if (count < 5) return exit_usage;
    work.endpoint = arguments[2];
    const bool serves = std::string_view{arguments[1]} == "serve";
    if (serves) {
        work.first = std::stoi(arguments[3]);
        work.release = arguments[4];
    } else {
        if (count != 7) return exit_usage;
        work.count = std::stoi(arguments[3]);
        work.first = std::stoi(arguments[4]);
        work.last = std::stoi(arguments[5]);
        work.limit = std::stoi(arguments[6]);
    }
    return Worker::from_settings().execute([&](Runtime runtime) {
        return serves ? serve(std::move(runtime), work) : ask(std::move(runtime), work);
    });
}
