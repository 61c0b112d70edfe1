#include "tools/demo/load.hpp"

#include <algorithm>
#include <utility>

namespace stator::demo {

using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t fewest_words = 40;
constexpr std::uint32_t most_words = 60;
constexpr std::uint32_t interval_ms = 80;
// A call that has not ended by then has hung.
constexpr Duration longest_call = 45s;

}  // namespace

const std::vector<std::string>& prompts() {
    static const std::vector<std::string> all{
        "You may copy",
        "The source code must",
        "Each contributor grants you",
        "If you distribute this work",
        "The licensor shall not",
        "When we speak of free software, we",
        "This program is distributed in the hope",
        "A derivative work",
        "No warranty is given",
        "Any user of the library may",
        "The recipient of a copy",
        "Patents are",
        "To protect your rights",
        "Every version of the document",
        "Software that is modified",
        "In no event",
    };
    return all;
}

Load::Load(
    Runtime runtime,
    CompletionRouter router,
    std::shared_ptr<const NgramModel> model,
    const std::vector<InstanceId>& workers,
    CancellationToken parent
)
    : runtime_{std::move(runtime)},
      router_{std::move(router)},
      model_{std::move(model)},
      scope_{std::move(parent)} {
    for (const auto id : workers) workers_.emplace_back().id = id;
}

void Load::start(std::size_t count) {
    const auto loops = runtime_.primary();
    for (std::size_t i = 0; i < count; ++i) {
        const auto number = calls_.size();
        auto& call = calls_.emplace_back();
        call.request = {
            .prompt = prompts()[number % prompts().size()],
            .seed = number,
            .words =
                fewest_words + static_cast<std::uint32_t>(number % (most_words - fewest_words + 1)),
            .interval_ms = interval_ms,
        };
        scope_.spawn_on(loops.loop(number % loops.size()), run(&call));
    }
}

Load::Running* Load::running_of(InstanceId worker) noexcept {
    const auto found = std::ranges::find(workers_, worker, &Running::id);
    return found == workers_.end() ? nullptr : &*found;
}

std::size_t Load::running_at(InstanceId worker) const noexcept {
    const auto found = std::ranges::find(workers_, worker, &Running::id);
    return found == workers_.end() ? 0 : found->streams.load();
}

void Load::on_accepted(Call& call, InstanceId worker) {
    call.worker = worker;
    accepted_.fetch_add(1);
    if (auto* running = running_of(worker)) running->streams.fetch_add(1);
}

Task<> Load::run(Call* call) {
    auto ended = co_await as_result(follow(call));
    if (!ended) call->error = std::move(ended).error();
    call->ended_at = Clock::current().now();
    call->ended = true;
    if (auto* running = running_of(call->worker)) running->streams.fetch_sub(1);
    ended_.fetch_add(1);
}

Task<> Load::follow(Call* call) {
    CallOptions options;
    options.deadline = Deadline::in(longest_call);
    options.on_accepted = [this, call](InstanceId worker) { on_accepted(*call, worker); };
    auto text = router_.generate(call->request, std::move(options));
    auto expected = model_->continue_from(call->request.prompt, call->request.seed);
    while (auto piece = co_await text.next()) {
        words_.fetch_add(1, std::memory_order_relaxed);
        if (call->pieces == call->request.words || *piece != expected.next()) {
            call->altered = true;
            co_return;
        }
        ++call->pieces;
    }
    call->altered = call->pieces != call->request.words;
}

void tally(
    const std::deque<Call>& calls,
    const std::vector<InstanceId>& ids,
    TimePoint killed_at,
    Figures& figures
) {
    WorkerFigures unknown;
    for (const auto& call : calls) {
        ++figures.requests;
        if (!call.worker) {
            ++figures.unaccepted;
            continue;
        }
        const auto at = static_cast<std::size_t>(std::ranges::find(ids, call.worker) - ids.begin());
        auto& worker = at < ids.size() ? figures.workers[at] : unknown;
        ++worker.accepted;
        if (call.altered) {
            ++worker.altered;
        } else if (call.ended && !call.error) {
            ++worker.completed;
        } else if (call.error) {
            ++worker.interrupted;
            if (call.error->code() != ErrorCode::disconnected) ++figures.untyped;
            figures.last_interruption =
                std::max(figures.last_interruption, call.ended_at - killed_at);
        }
    }
}

}  // namespace stator::demo
