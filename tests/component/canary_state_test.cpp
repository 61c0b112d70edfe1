// The one machine that decides about endpoints with a probe: by cases, then by every short story.
#include "component/canary_state.hpp"

#include <array>
#include <vector>

#include <gtest/gtest.h>

namespace stator {
namespace {

using namespace std::chrono_literals;
using Action = CanaryState::Action;
using Verdict = CanaryState::Verdict;

constexpr CanaryState::Config config{
    .idle_wait = 10s, .timeout = 3s, .stream_timeout = 30s, .busy_stall = 60s
};

class Canary : public ::testing::Test {
protected:
    CanaryState::Step look() { return state.look(now, traffic); }
    CanaryState::Step look_after(Duration wait) {
        now += wait;
        return look();
    }
    void begin() { ASSERT_EQ(look().action, Action::begin_probe); }

    TimePoint now{Duration{1h}};
    Traffic traffic;
    CanaryState state{config, now};
};

TEST_F(Canary, IsPendingUntilTheFirstProbeHasEnded) {
    EXPECT_EQ(state.verdict(), Verdict::pending);
    begin();
    state.probe_item(now);
    EXPECT_EQ(state.verdict(), Verdict::pending);
    state.probe_ended(now, {});
    EXPECT_EQ(state.verdict(), Verdict::healthy);
    EXPECT_EQ(state.reason(), "");
}

TEST_F(Canary, ProbesAgainWhenIdleForLongEnough) {
    begin();
    state.probe_item(now);
    state.probe_ended(now, {});
    EXPECT_EQ(look().next, now + 10s);
    EXPECT_EQ(look_after(9s).action, Action::none);
    EXPECT_EQ(look_after(1s).action, Action::begin_probe);
}

TEST_F(Canary, TrafficPutsTheProbeOff) {
    begin();
    state.probe_ended(now, {});
    traffic = {.inflight = 1, .progress = 0};
    EXPECT_EQ(look_after(9s).action, Action::none);
    traffic = {.inflight = 0, .progress = 1};
    EXPECT_EQ(look_after(1s).action, Action::none);
    EXPECT_EQ(look_after(9s).action, Action::none);
    EXPECT_EQ(look_after(1s).action, Action::begin_probe);
}

TEST_F(Canary, NoAnswerInTimeIsUnhealthyAndTheProbeIsEnded) {
    begin();
    EXPECT_EQ(look_after(2999ms).action, Action::none);
    EXPECT_EQ(look_after(1ms).action, Action::end_probe);
    EXPECT_EQ(state.verdict(), Verdict::unhealthy);
    EXPECT_EQ(state.reason(), "a probe had no answer within 3 s");
    EXPECT_EQ(look_after(10min).action, Action::none) << "there is one probe at a time";
    state.probe_ended(now, "cancelled");
    EXPECT_EQ(state.reason(), "a probe had no answer within 3 s");
    EXPECT_EQ(look_after(10s).action, Action::begin_probe);
}

TEST_F(Canary, AStreamThatStallsAfterItsFirstItemDoesNotPass) {
    begin();
    now += 1s;
    state.probe_item(now);
    EXPECT_EQ(look().next, now + 3s);
    EXPECT_EQ(look_after(3s).action, Action::end_probe);
    EXPECT_EQ(state.reason(), "a probe stalled after 1 items for 3 s");
}

TEST_F(Canary, AStreamThatNeverEndsDoesNotPass) {
    begin();
    for (int i = 0; i < 29; ++i) {
        now += 1s;
        state.probe_item(now);
        EXPECT_EQ(look().action, Action::none);
    }
    now += 1s;
    state.probe_item(now);
    EXPECT_EQ(look().action, Action::end_probe);
    EXPECT_EQ(state.reason(), "a probe did not end within 30 s");
}

TEST_F(Canary, AnErrorOrNothingDoesNotPass) {
    begin();
    state.probe_item(now);
    state.probe_ended(now, "out of memory");
    EXPECT_EQ(state.reason(), "a probe failed: out of memory");
    EXPECT_EQ(look_after(10s).action, Action::begin_probe);
    state.probe_ended(now, {});
    EXPECT_EQ(state.reason(), "a probe was answered by nothing");
    EXPECT_EQ(state.verdict(), Verdict::unhealthy);
}

TEST_F(Canary, BusyIsJudgedByProgress) {
    begin();
    state.probe_item(now);
    state.probe_ended(now, {});
    traffic.inflight = 5;
    EXPECT_EQ(look_after(1s).next, now + 60s);
    EXPECT_EQ(look_after(59s).action, Action::none);
    EXPECT_EQ(state.verdict(), Verdict::healthy);
    EXPECT_EQ(look_after(1s).action, Action::none);
    EXPECT_EQ(state.verdict(), Verdict::unhealthy);
    EXPECT_EQ(state.reason(), "5 requests without progress for 60 s");
    ++traffic.progress;
    (void)look_after(1s);
    EXPECT_EQ(state.verdict(), Verdict::healthy);
}

TEST_F(Canary, ProgressIsAsGoodAsAProbe) {
    begin();
    state.probe_ended(now, "no");
    traffic = {.inflight = 1, .progress = 1};
    (void)look_after(1s);
    EXPECT_EQ(state.verdict(), Verdict::healthy);
}

TEST_F(Canary, AProbeThatDoesNotEndOutweighsTraffic) {
    begin();
    (void)look_after(3s);
    traffic = {.inflight = 1, .progress = 1};
    (void)look_after(1s);
    EXPECT_EQ(state.verdict(), Verdict::unhealthy);
    state.probe_ended(now, "killed");
    ++traffic.progress;
    (void)look_after(1s);
    EXPECT_EQ(state.verdict(), Verdict::healthy);
}

// Every story of six events, against what must hold at any time.
enum class Event { wait_a_little, wait_long, item, end_well, end_badly, begin, progress, finish };
constexpr std::array events{
    Event::wait_a_little,
    Event::wait_long,
    Event::item,
    Event::end_well,
    Event::end_badly,
    Event::begin,
    Event::progress,
    Event::finish
};

struct Story {
    TimePoint now{Duration{1h}};
    Traffic traffic;
    CanaryState state{config, now};
    bool probe_runs = false;
    bool told_to_end = false;
    std::size_t items = 0;

    void happen(Event event) {
        switch (event) {
            case Event::wait_a_little:
                now += 2s;
                break;
            case Event::wait_long:
                now += 61s;
                break;
            case Event::item:
                if (probe_runs) ++items;
                state.probe_item(now);
                break;
            case Event::end_well:
            case Event::end_badly:
                end(event == Event::end_well);
                break;
            case Event::begin:
                ++traffic.inflight;
                break;
            case Event::progress:
                if (traffic.inflight > 0) ++traffic.progress;
                break;
            case Event::finish:
                if (traffic.inflight > 0) --traffic.inflight;
                break;
        }
        look();
    }

    void end(bool well) {
        const auto before = state.verdict();
        state.probe_ended(now, well ? std::nullopt : std::optional<std::string>{"bad"});
        EXPECT_FALSE(state.probing());
        if (!probe_runs) {
            EXPECT_EQ(state.verdict(), before) << "there was none";
        } else if (told_to_end || !well || items == 0) {
            EXPECT_EQ(state.verdict(), Verdict::unhealthy);
        } else {
            EXPECT_EQ(state.verdict(), Verdict::healthy);
        }
        probe_runs = false;
    }

    void look() {
        const auto step = state.look(now, traffic);
        EXPECT_GT(step.next, now) << "it looks again, and not at once";
        EXPECT_LE(step.next, now + config.busy_stall);
        if (step.action == Action::begin_probe) {
            EXPECT_FALSE(probe_runs) << "one at a time";
            EXPECT_EQ(traffic.inflight, 0U) << "not while it is busy";
            probe_runs = true;
            told_to_end = false;
            items = 0;
        }
        if (step.action == Action::end_probe) {
            EXPECT_TRUE(probe_runs && !told_to_end) << "once";
            told_to_end = true;
        }
        EXPECT_EQ(state.probing(), probe_runs);
        if (probe_runs && told_to_end) EXPECT_EQ(state.verdict(), Verdict::unhealthy);
        EXPECT_EQ(state.reason().empty(), state.verdict() == Verdict::healthy);
    }
};

TEST(CanaryStories, HoldWhateverHappens) {
    constexpr int length = 6;
    std::size_t stories = 1;
    for (int i = 0; i < length; ++i) stories *= events.size();
    for (std::size_t number = 0; number < stories; ++number) {
        Story story;
        story.look();
        auto left = number;
        for (int i = 0; i < length; ++i, left /= events.size())
            story.happen(events[left % events.size()]);
        if (::testing::Test::HasFailure()) FAIL() << "story " << number;
    }
}

}  // namespace
}  // namespace stator
