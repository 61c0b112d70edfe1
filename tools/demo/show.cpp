#include "tools/demo/show.hpp"

#include <signal.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/timer.hpp"
#include "tools/demo/completion.hpp"
#include "tools/demo/fleet.hpp"
#include "tools/demo/load.hpp"
#include "tools/demo/report.hpp"

namespace stator::demo {

using namespace std::chrono_literals;

namespace {

// The parts that the workers play.
constexpr std::size_t killed = 2;
constexpr std::size_t drained = 3;
constexpr std::size_t late = 4;
constexpr std::array roles{Role::stays, Role::killed, Role::drained, Role::joined};

constexpr Duration longest_show = 55s;
constexpr Duration longest_start = 15s;
constexpr Duration longest_departure = 5s;
constexpr Duration longest_drain = 30s;
constexpr Duration longest_ramp = 2s;
constexpr Duration refresh = 50ms;
constexpr std::size_t required_streams = 200;  // on the worker that is killed, of 2,000

bool routes_to(const discovery::InstanceSet& set, InstanceId id) {
    return std::ranges::any_of(set.routable, [&](const auto& instance) {
        return instance->id == id;
    });
}

using WatchPtr = std::shared_ptr<discovery::EndpointWatch>;

/// Waits until requests are given to `id`, or no longer given.
Task<> wait_until_routed(WatchPtr watch, InstanceId id, bool routed) {
    auto set = watch->instances();
    while (routes_to(*set, id) != routed) set = co_await watch->wait_for_change(set->version);
}

/// When something happened; empty until then.
struct Moment {
    TimePoint at{};
    Event happened;
};

Task<> note_departure(WatchPtr watch, InstanceId id, Moment* moment) {
    co_await wait_until_routed(std::move(watch), id, false);
    moment->at = Clock::current().now();
    moment->happened.set();
}

Task<> wait_for(Event* event) { co_await event->wait(); }

/// Lives in the frame of run_show; its tasks are members, ended by `end`.
class Show {
public:
    Show(Runtime runtime, ShowOptions options, Terminal& terminal, CancellationToken token)
        : runtime_{std::move(runtime)},
          options_{std::move(options)},
          terminal_{terminal},
          token_{std::move(token)},
          fleet_{*Loop::current(), options_.folder, options_.corpus.value_or("")},
          watchers_{token_} {}

    Task<> play();
    /// Ends calls and processes. Never throws, not interrupted.
    Task<> end();
    /// Prints the findings; true if all hold.
    bool conclude();
    void show_logs();

private:
    Task<> connect();
    Task<> show_texts();
    Task<> show_text(std::string prompt, std::uint32_t interval_ms);
    Task<> fill();
    Task<> kill_one();
    Task<> join_one();
    Task<> drain_one();
    Task<> finish();
    Task<> wait_for_worker(std::size_t number, bool routed, Duration longest);
    template <class Condition>
    Task<bool> watch_progress(Condition reached, Deadline deadline);
    void say(const std::string& text);
    void show_progress();
    void collect();

    Runtime runtime_;
    ShowOptions options_;
    Terminal& terminal_;
    CancellationToken token_;
    Fleet fleet_;
    std::unique_ptr<DistributedRuntime> cluster_;
    std::unique_ptr<CompletionRouter> router_;
    WatchPtr watch_;
    std::unique_ptr<Load> load_;
    TimePoint began_{};
    TimePoint killed_at_{};
    Moment departure_;
    Figures figures_;
    std::array<std::optional<ProcessEnd>, Fleet::size> ends_;
    TaskScope watchers_;
};

Task<> Show::play() {
    co_await connect();
    co_await show_texts();
    co_await fill();
    co_await kill_one();
    co_await join_one();
    co_await drain_one();
    co_await finish();
}

Task<> Show::connect() {
    const auto start = Clock::current().now();
    for (std::size_t number = 1; number < late; ++number) fleet_.start(number);
    cluster_ = std::make_unique<DistributedRuntime>(co_await DistributedRuntime::connect(runtime_));
    const auto endpoint = cluster_->endpoint(completion_path);
    router_ = std::make_unique<CompletionRouter>(co_await endpoint.client());
    watch_ = co_await cluster_->discovery().watch(endpoint.id());
    for (std::size_t number = 1; number < late; ++number)
        co_await wait_for_worker(number, true, longest_start);
    terminal_.line(fmt::format(
        "  workers  3 processes serve {}, found after {}",
        completion_path,
        readable(Clock::current().now() - start)
    ));
    terminal_.line(fmt::format("           through files in {}", options_.folder.string()));
}

/// Waits until requests are given to the worker, or no longer given.
Task<> Show::wait_for_worker(std::size_t number, bool routed, Duration longest) {
    auto seen = co_await as_result(
        with_deadline(Deadline::in(longest), wait_until_routed(watch_, fleet_.id(number), routed))
    );
    if (seen) co_return;
    throw seen.error().with_context(fmt::format(
        "waiting for worker {} to {} the routing set", number, routed ? "join" : "leave"
    ));
}

Task<> Show::show_texts() {
    terminal_.line();
    co_await show_text(prompts()[0], 50);
    for (std::size_t i = 1; i < 3; ++i) co_await show_text(prompts()[i], 15);
}

Task<> Show::show_text(std::string prompt, std::uint32_t interval_ms) {
    CompletionRequest request{.prompt = std::move(prompt), .words = 30, .interval_ms = interval_ms};
    terminal_.paragraph(request.prompt);
    auto text = router_->generate(request, {.deadline = Deadline::in(longest_start)});
    while (auto piece = co_await text.next()) terminal_.word(*piece);
    terminal_.end_paragraph();
}

Task<> Show::fill() {
    load_ = std::make_unique<Load>(runtime_, *router_, options_.model, fleet_.ids(), token_);
    terminal_.line();
    began_ = Clock::current().now();
    load_->start(options_.requests);
    co_await watch_progress(
        [this] { return load_->accepted() == options_.requests; }, Deadline::in(longest_ramp)
    );
    say(fmt::format(
        "{} streams run: {} + {} + {} on the workers",
        grouped(load_->running()),
        grouped(load_->running_at(fleet_.id(1))),
        grouped(load_->running_at(fleet_.id(2))),
        grouped(load_->running_at(fleet_.id(3)))
    ));
    const auto while_they_run = Deadline::in(500ms);
    co_await watch_progress([=] { return while_they_run.passed(); }, while_they_run);
}

Task<> Show::kill_one() {
    // On the secondary loop, which has none of the calls to attend to.
    watchers_.spawn_on(
        runtime_.secondary().loop(0), note_departure(watch_, fleet_.id(killed), &departure_)
    );
    figures_.required_at_kill = std::min(required_streams, options_.requests / 10);
    figures_.held_at_kill = load_->running_at(fleet_.id(killed));
    killed_at_ = Clock::current().now();
    fleet_.signal(killed, SIGKILL);
    load_->start(options_.requests / 16);  // while it is still routed to
    say(fmt::format(
        "worker {} gets SIGKILL with {} streams", killed, grouped(figures_.held_at_kill)
    ));
    if (co_await as_result(
            with_deadline(Deadline::in(longest_departure), wait_for(&departure_.happened))
        )) {
        const Duration took = departure_.at - killed_at_;
        figures_.left_routing = took;
        say(fmt::format("it has left the routing set, {} after that", readable(took)));
    }
    ends_[killed - 1] = co_await fleet_.wait(killed, Deadline::in(5s));
}

Task<> Show::join_one() {
    const auto start = Clock::current().now();
    fleet_.start(late);
    co_await wait_for_worker(late, true, longest_start);
    say(fmt::format(
        "worker {} has joined, {} after its start", late, readable(Clock::current().now() - start)
    ));
    load_->start(options_.requests / 4);
}

Task<> Show::drain_one() {
    const auto enough = [this] { return load_->accepted() == load_->started(); };
    co_await watch_progress(enough, Deadline::in(longest_ramp));
    figures_.held_at_drain = load_->running_at(fleet_.id(drained));
    const auto start = Clock::current().now();
    fleet_.signal(drained, SIGTERM);
    load_->start(options_.requests / 16);  // some find it draining
    say(fmt::format(
        "worker {} gets SIGTERM with {} streams", drained, grouped(figures_.held_at_drain)
    ));
    co_await wait_for_worker(drained, false, longest_departure);
    say(fmt::format(
        "it has left the routing set, {} after that", readable(Clock::current().now() - start)
    ));
    load_->start(options_.requests / 8);
    const auto served = [this] { return load_->running_at(fleet_.id(drained)) == 0; };
    co_await watch_progress(served, Deadline::in(longest_drain));
    const auto end = co_await fleet_.wait(drained, Deadline::at(start + longest_drain));
    ends_[drained - 1] = end;
    say(fmt::format(
        "it has ended, {} after that: {}", readable(Clock::current().now() - start), end.to_string()
    ));
}

Task<> Show::finish() {
    co_await watch_progress([this] { return load_->running() == 0; }, Deadline::never());
    co_await load_->join();
    const auto took = Clock::current().now() - began_;
    say(fmt::format(
        "all streams have ended; {} words, {} a second",
        grouped(load_->words()),
        grouped(static_cast<std::size_t>(
            static_cast<double>(load_->words()) / std::chrono::duration<double>(took).count()
        ))
    ));
    figures_.stayed_out = !routes_to(*watch_->instances(), fleet_.id(killed));
    for (const std::size_t number : {std::size_t{1}, late}) fleet_.signal(number, SIGTERM);
    for (const std::size_t number : {std::size_t{1}, late}) {
        ends_[number - 1] = co_await fleet_.wait(number, Deadline::in(longest_start));
    }
}

/// Shows how things go until `reached` holds (true) or the deadline passes (false).
template <class Condition>
Task<bool> Show::watch_progress(Condition reached, Deadline deadline) {
    while (!reached()) {
        if (deadline.passed()) co_return false;
        show_progress();
        co_await sleep_until(earliest(deadline, Deadline::in(refresh)));
    }
    co_return true;
}

void Show::say(const std::string& text) {
    const auto since = std::chrono::duration<double>(Clock::current().now() - began_).count();
    terminal_.line(fmt::format("  {:6.2f} s  {}", since, text));
}

void Show::show_progress() {
    const auto since = std::chrono::duration<double>(Clock::current().now() - began_).count();
    terminal_.progress(fmt::format(
        "  {:6.2f} s  {} streams run, {} words so far",
        since,
        grouped(load_->running()),
        grouped(load_->words())
    ));
}

Task<> Show::end() {
    if (load_) co_await load_->close();
    co_await watchers_.close();
    for (std::size_t number = 1; number <= Fleet::size; ++number) {
        if (fleet_.started(number)) fleet_.signal(number, SIGKILL);
    }
    for (std::size_t number = 1; number <= Fleet::size; ++number) {
        if (!fleet_.started(number)) continue;
        auto end = co_await as_result(shielded(fleet_.wait(number, Deadline::in(5s))));
        if (end && !ends_[number - 1]) ends_[number - 1] = *end;
    }
}

void Show::collect() {
    figures_.workers.resize(Fleet::size);
    for (std::size_t i = 0; i < Fleet::size; ++i) {
        figures_.workers[i].role = roles[i];
        if (fleet_.started(i + 1)) figures_.workers[i].pid = fleet_.pid(i + 1);
        figures_.workers[i].end = ends_[i];
    }
    tally(load_->calls(), fleet_.ids(), killed_at_, figures_);
}

bool Show::conclude() {
    if (!load_) return false;
    collect();
    terminal_.line();
    for (const auto& line : table(figures_)) terminal_.line(line);
    terminal_.line();
    bool all = true;
    for (const auto& finding : findings(figures_)) {
        const auto mark = finding.holds ? terminal_.green("    ok") : terminal_.red("FAILED");
        terminal_.line(fmt::format("{}  {}", mark, finding.text));
        all = all && finding.holds;
    }
    return all;
}

void Show::show_logs() {
    for (std::size_t number = 1; number <= Fleet::size; ++number) {
        const auto lines =
            fleet_.started(number) ? fleet_.last_lines(number, 5) : std::vector<std::string>{};
        if (lines.empty()) continue;
        terminal_.line(fmt::format("the last words of worker {}:", number));
        for (const auto& line : lines) terminal_.line("  " + line);
    }
}

}  // namespace

Task<int> run_show(Runtime runtime, ShowOptions options, Terminal* terminal) {
    const auto start = Clock::current().now();
    Show show{std::move(runtime), std::move(options), *terminal, co_await current_token()};
    const auto played = co_await as_result(with_deadline(Deadline::in(longest_show), show.play()));
    co_await show.end();
    if (!played && played.error().code() == ErrorCode::cancelled) {
        terminal->line();
        terminal->line(terminal->red("Ended early, as asked"));
        co_return 1;
    }
    const bool good = show.conclude() && played.has_value();
    terminal->line();
    if (!played) terminal->line(terminal->red(fmt::format("FAILED  {}", played.error().what())));
    if (!good) show.show_logs();
    terminal->line(fmt::format(
        "{} after {}",
        good ? terminal->green("All of it holds") : terminal->red("Not all of it holds"),
        readable(Clock::current().now() - start)
    ));
    co_return good ? 0 : 1;
}

}  // namespace stator::demo
