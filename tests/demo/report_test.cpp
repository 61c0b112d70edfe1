#include "tools/demo/report.hpp"

#include <signal.h>

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stator::demo {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

Figures good() {
    Figures figures;
    figures.requests = 2'500;
    figures.held_at_kill = 667;
    figures.required_at_kill = 200;
    figures.held_at_drain = 700;
    figures.left_routing = 3ms;
    figures.stayed_out = true;
    figures.last_interruption = 12ms;
    figures.workers = {
        {Role::stays, 11, 833, 833, 0, 0, ProcessEnd{false, 0}},
        {Role::killed, 12, 700, 10, 690, 0, ProcessEnd{true, SIGKILL}},
        {Role::drained, 13, 800, 800, 0, 0, ProcessEnd{false, 0}},
        {Role::joined, 14, 167, 167, 0, 0, ProcessEnd{false, 0}},
    };
    return figures;
}

TEST(Report, all_findings_hold_when_everything_is_as_promised) {
    for (const auto& finding : findings(good())) EXPECT_TRUE(finding.holds) << finding.text;
}

struct Breach {
    std::string name;
    std::string text;  // what the failing line says
    std::function<void(Figures&)> make;
};

class ReportBreach : public ::testing::TestWithParam<Breach> {};

TEST_P(ReportBreach, is_found) {
    auto figures = good();
    GetParam().make(figures);
    std::string failed;
    for (const auto& finding : findings(figures)) {
        if (!finding.holds) failed += finding.text + "\n";
    }
    EXPECT_THAT(failed, HasSubstr(GetParam().text));
}

INSTANTIATE_TEST_SUITE_P(
    Each,
    ReportBreach,
    ::testing::Values(
        Breach{
            "unaccepted",
            "+ 1 never accepted",
            [](Figures& f) { f.unaccepted = 1, f.requests += 1; }
        },
        Breach{
            "unfinished",
            "2,501 requests = 1,810 completed + 690",
            [](Figures& f) { f.requests += 1; }
        },
        Breach{"altered", "1 texts with a word lost", [](Figures& f) { f.workers[0].altered = 1; }},
        Breach{"few_held", "199 streams (at least 200)", [](Figures& f) { f.held_at_kill = 199; }},
        Breach{
            "not_killed",
            "ran on the worker",
            [](Figures& f) { f.workers[1].end = ProcessEnd{false, 0}; }
        },
        Breach{
            "too_many",
            "691 interrupted <= 690 accepted",
            [](Figures& f) { f.workers[1].accepted = 690, f.workers[1].interrupted = 691; }
        },
        Breach{
            "elsewhere",
            "1 elsewhere",
            [](Figures& f) { f.workers[0].interrupted = 1, f.workers[0].completed -= 1; }
        },
        Breach{"untyped", "1 interrupted by anything but", [](Figures& f) { f.untyped = 1; }},
        Breach{"slow", "1.50 s from SIGKILL", [](Figures& f) { f.left_routing = 1500ms; }},
        Breach{"never_left", "never left", [](Figures& f) { f.left_routing.reset(); }},
        Breach{"came_back", "it came back", [](Figures& f) { f.stayed_out = false; }},
        Breach{
            "drain_lost", "3 lost of the drained", [](Figures& f) { f.workers[2].completed -= 3; }
        },
        Breach{"drain_idle", "0 ran at SIGTERM", [](Figures& f) { f.held_at_drain = 0; }},
        Breach{
            "drain_exit", "exit 143", [](Figures& f) { f.workers[2].end = ProcessEnd{false, 143}; }
        },
        Breach{"drain_runs", "; runs", [](Figures& f) { f.workers[2].end.reset(); }},
        Breach{"joiner_idle", "0 requests went to", [](Figures& f) { f.workers[3].accepted = 0; }},
        Breach{
            "survivor_exit",
            "SIGSEGV, exit 0",
            [](Figures& f) { f.workers[0].end = ProcessEnd{true, SIGSEGV}; }
        }
    ),
    [](const auto& info) { return info.param.name; }
);

TEST(Report, no_workers_at_all_hold_nothing_that_needs_them) {
    int held = 0;
    for (const auto& finding : findings(Figures{})) held += finding.holds ? 1 : 0;
    EXPECT_LT(held, 5);
}

TEST(Report, the_table_fits_a_terminal_and_has_a_line_for_each_worker) {
    auto figures = good();
    figures.workers[0].accepted = 1'234'567;
    figures.workers[0].pid = 4'194'303;
    const auto lines = table(figures);
    ASSERT_EQ(lines.size(), 5U);
    for (const auto& line : lines) EXPECT_LE(line.size(), 80U) << line;
    for (const auto& finding : findings(figures))
        EXPECT_LE(finding.text.size(), 72U) << finding.text;
    EXPECT_THAT(table(good())[2], HasSubstr("killed"));
    EXPECT_THAT(table(good())[2], HasSubstr("28.0%"));
    EXPECT_THAT(table(good())[2], HasSubstr("SIGKILL"));
}

TEST(Report, numbers_are_readable) {
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(1'000), "1,000");
    EXPECT_EQ(grouped(1'234'567), "1,234,567");
    EXPECT_EQ(readable(3400us), "3.4 ms");
    EXPECT_EQ(readable(1250ms), "1.25 s");
}

TEST(ProcessEnd, says_how_it_ended) {
    EXPECT_EQ((ProcessEnd{false, 0}).to_string(), "exit 0");
    EXPECT_EQ((ProcessEnd{true, SIGKILL}).to_string(), "SIGKILL");
    EXPECT_EQ((ProcessEnd{true, 40}).to_string(), "signal 40");
}

}  // namespace
}  // namespace stator::demo
