// What one slow instance does to everybody's latencies, by mode: real choices and reservations,
// time and workers made up.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "component/selection.hpp"
#include "stator/base/random.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t instances = 8;
constexpr std::size_t slots = 4;  // calls that an instance serves at a time; others queue there
constexpr int calls = 40'000;
constexpr int learning = 2'000;  // not counted: the first ones find out who is slow
constexpr Duration usual = 20ms;
constexpr double load = 0.5;

class OwnTime {
public:
    OwnTime() : before_{Clock::set_current(&clock_)} {}
    OwnTime(const OwnTime&) = delete;
    OwnTime& operator=(const OwnTime&) = delete;
    ~OwnTime() { Clock::set_current(before_); }
    TimePoint now() const noexcept { return clock_.now(); }
    void move_to(TimePoint when) noexcept {
        if (when > clock_.now()) clock_.advance(when - clock_.now());
    }

private:
    ManualClock clock_;
    const Clock* before_;
};

/// One instance's part in a call.
struct Attempt {
    std::size_t instance = 0;
    std::size_t slot = 0;
    TimePoint begin;
    TimePoint end;
    Reservation reservation;
};

struct Call {
    TimePoint asked;
    bool counted = false;
    std::vector<Attempt> attempts;
};

/// What is due: the end of an attempt, or a look at whether a call needs a second one.
struct Due {
    TimePoint when;
    std::size_t call = 0;
    std::optional<std::size_t> attempt;
};
struct LaterFirst {
    bool operator()(const Due& a, const Due& b) const noexcept { return a.when > b.when; }
};

struct Tail {
    std::vector<double> ms;
    int attempts = 0;
    int slow = 0;
    double percentile(double quantile) const {
        return ms.at(static_cast<std::size_t>(quantile * static_cast<double>(ms.size())));
    }
    double slow_share() const { return slow / static_cast<double>(attempts); }
    double hedged_share() const {
        return static_cast<double>(attempts) / static_cast<double>(ms.size()) - 1;
    }
};

/// Instances with ids from 1 on; `slow_by` is how many times as long the first one takes.
class Fleet {
public:
    Fleet(RouterOptions options, double slow_by)
        : slow_by_{slow_by}, selector_{std::move(options)} {
        std::vector<InstancePtr> all;
        for (std::size_t i = 1; i <= instances; ++i) {
            auto instance = std::make_shared<discovery::Instance>();
            instance->id = InstanceId{i};
            instance->mux = discovery::MuxAddress{.address = "127.0.0.1:1"};
            all.push_back(std::move(instance));
        }
        const auto loads = book_->loads_of(all);
        for (std::size_t i = 0; i < instances; ++i) view_.routable.push_back({all[i], loads[i]});
        view_.set = std::make_shared<const discovery::InstanceSet>();
        for (auto& own : free_at_) own.fill(time_.now());
    }

    /// Calls arrive as they do where many people ask independently of each other.
    Tail run() {
        for (int number = 0; number < calls; ++number) {
            arrive();
            begin(number >= learning);
        }
        while (!due_.empty()) settle();
        std::ranges::sort(tail_.ms);
        return std::move(tail_);
    }

private:
    double draw() { return (static_cast<double>(random_.below(1U << 30U)) + 1) / (1U << 30U); }
    void arrive() {
        constexpr double rate =
            load * instances * slots / std::chrono::duration<double>(usual).count();
        const auto next =
            time_.now() + Duration{static_cast<Duration::rep>(-std::log(draw()) / rate * 1e9)};
        while (!due_.empty() && due_.top().when <= next) settle();
        time_.move_to(next);
    }
    void begin(bool counted) {
        const auto number = next_++;
        calls_[number] = {.asked = time_.now(), .counted = counted, .attempts = {}};
        selector_.hedges.call();
        place(number);
        if (const auto& hedge = selector_.options.hedge)
            due_.push({time_.now() + hedge->after, number, std::nullopt});
    }
    /// At the end of an attempt the call has its answer, and the other attempt is killed.
    void settle() {
        const auto due = due_.top();
        due_.pop();
        time_.move_to(due.when);
        const auto found = calls_.find(due.call);
        if (found == calls_.end()) return;  // answered by the other one
        if (!due.attempt) {
            if (selector_.hedges.take()) place(due.call);
            return;
        }
        auto call = std::move(found->second);
        calls_.erase(found);
        call.attempts[*due.attempt].reservation.answered(due.when);
        for (std::size_t i = 0; i < call.attempts.size(); ++i) {
            if (i != *due.attempt) kill(call.attempts[i]);
        }
        if (!call.counted) return;
        const std::chrono::duration<double, std::milli> took = due.when - call.asked;
        tail_.ms.push_back(took.count());
    }
    void place(std::size_t number) {
        auto& call = calls_.at(number);
        std::vector<InstanceId> tried;
        for (const auto& before : call.attempts) tried.emplace_back(before.instance + 1);
        const Context context;
        const CallOptions options;
        auto chosen = choose(
            selector_,
            view_,
            book_,
            endpoint_,
            {.context = context, .options = options, .tried = tried}
        );
        const auto index = static_cast<std::size_t>(chosen.instance->id.value() - 1);
        // Between a half and one and a half of the usual time.
        const auto service =
            std::chrono::duration<double>(usual) * (0.5 + draw()) * (index == 0 ? slow_by_ : 1);
        auto& own = free_at_.at(index);
        const auto slot = static_cast<std::size_t>(std::ranges::min_element(own) - own.begin());
        const auto begin = std::max(own.at(slot), time_.now());
        const auto end = begin + std::chrono::duration_cast<Duration>(service);
        own.at(slot) = end;
        due_.push({end, number, call.attempts.size()});
        call.attempts.push_back({index, slot, begin, end, std::move(chosen.reservation)});
        tail_.attempts += call.counted ? 1 : 0;
        tail_.slow += call.counted && index == 0 ? 1 : 0;
    }
    /// What it had of its instance is free, unless others count on that time already.
    void kill(const Attempt& attempt) {
        auto& free_at = free_at_.at(attempt.instance).at(attempt.slot);
        if (free_at == attempt.end) free_at = std::max(attempt.begin, time_.now());
    }

    OwnTime time_;
    Random random_{1};
    const double slow_by_;
    Selector selector_;
    RoutingView view_;
    const EndpointId endpoint_{"demo", "backend", "work"};
    const std::shared_ptr<LoadBook> book_ = std::make_shared<LoadBook>();
    std::array<std::array<TimePoint, slots>, instances> free_at_{};
    std::map<std::size_t, Call> calls_;
    std::size_t next_ = 0;
    std::priority_queue<Due, std::vector<Due>, LaterFirst> due_;
    Tail tail_;
};

struct Row {
    const char* name;
    RouterOptions options;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

/// How many times as high the percentile is with a slow instance as without it.
class TailTest : public ::testing::TestWithParam<Row> {
protected:
    void SetUp() override {
        without_ = Fleet{GetParam().options, 1}.run();
        with_ = Fleet{GetParam().options, 10}.run();
        for (const double quantile : {0.95, 0.99})
            RecordProperty(
                fmt::format("p{:.0f}", quantile * 100), fmt::format("{:.2f}", ratio(quantile))
            );
        RecordProperty("slow_share", fmt::format("{:.4f}", with_.slow_share()));
        fmt::print(
            "{}: p95 {:.1f} ms, {:.2f} of {:.1f}; p99 {:.1f} ms, {:.2f} of {:.1f}; slow share "
            "{:.4f}; hedged {:.4f}\n",
            GetParam().name,
            with_.percentile(0.95),
            ratio(0.95),
            without_.percentile(0.95),
            with_.percentile(0.99),
            ratio(0.99),
            without_.percentile(0.99),
            with_.slow_share(),
            with_.hedged_share()
        );
    }
    double ratio(double quantile) const {
        return with_.percentile(quantile) / without_.percentile(quantile);
    }
    Tail without_;
    Tail with_;
};

Row row_of(RouterMode mode) { return {to_string(mode).data(), {.mode = mode}}; }
Row hedged(const char* name, RouterMode mode) {
    return {name, {.mode = mode, .hedge = Hedging{.after = 30ms, .budget = 0.2}}};
}
constexpr auto name_of = [](const auto& row) { return std::string{row.param.name}; };

class ByLoad : public TailTest {};
TEST_P(ByLoad, KeepsP95) {
    EXPECT_LE(ratio(0.95), 1.5);
    EXPECT_LT(with_.slow_share(), 0.05);
}
INSTANTIATE_TEST_SUITE_P(
    Tail,
    ByLoad,
    ::testing::Values(
        row_of(RouterMode::power_of_two),
        row_of(RouterMode::least_loaded),
        row_of(RouterMode::device_aware)
    ),
    name_of
);

class ByLatency : public TailTest {};
TEST_P(ByLatency, KeepsP99) {
    EXPECT_LE(ratio(0.95), 1.5);
    EXPECT_LE(ratio(0.99), 1.5);
    EXPECT_LT(with_.slow_share(), 0.01);
}
INSTANTIATE_TEST_SUITE_P(
    Tail, ByLatency, ::testing::Values(row_of(RouterMode::peak_ewma)), name_of
);

/// Who asks the slow one waits as long as others take at most, then for somebody else.
class Hedged : public TailTest {};
TEST_P(Hedged, AddsOneMoreAnswerAtMost) {
    EXPECT_LE(ratio(0.99), 2.05);
    EXPECT_LT(with_.hedged_share(), 0.21) << "the budget";
}
INSTANTIATE_TEST_SUITE_P(
    Tail,
    Hedged,
    ::testing::Values(
        hedged("hedged_round_robin", RouterMode::round_robin),
        hedged("hedged_power_of_two", RouterMode::power_of_two),
        hedged("hedged_least_loaded", RouterMode::least_loaded),
        hedged("hedged_peak_ewma", RouterMode::peak_ewma)
    ),
    name_of
);

class Blind : public TailTest {};
TEST_P(Blind, GivesTheSlowOneItsShareAndPaysForIt) {
    EXPECT_NEAR(with_.slow_share(), 1.0 / instances, 0.01);
    EXPECT_GT(ratio(0.95), 5);
}
INSTANTIATE_TEST_SUITE_P(Tail, Blind, ::testing::Values(row_of(RouterMode::round_robin)), name_of);

}  // namespace
}  // namespace stator
